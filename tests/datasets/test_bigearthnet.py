"""BigEarthNet, against plain rasterio, JSON and NumPy, on files that the test writes."""

import datetime
import json

import numpy as np
import pytest
import rasterio
from tiny_bigearthnet import CORNERS, EPSG, LABELS, PAIRS, write_archive, write_band

from rfp_jax.datasets.bigearthnet import (
    BANDS,
    CLASSES,
    BigEarthNet,
    BigEarthNetConfig,
    MissingFileError,
    PatchError,
)
from rfp_jax.tables import Columns, RunOptions, evaluate

RADAR, OPTICAL = next(iter(PAIRS.items()))


@pytest.fixture(scope="module")
def read_only(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("ben"))


@pytest.fixture
def folders(tmp_path):
    return write_archive(tmp_path)


def stored(folder, name, band):
    with rasterio.open(folder / name / f"{name}_{band}.tif") as file:
        return file.read(1)


def test_bands_are_kept_at_their_resolutions(read_only):
    s1, s2 = read_only
    data = BigEarthNet(s1, s2, BigEarthNetConfig(normalize=False))
    assert data.ids == list(PAIRS)
    for sample, (radar, optical) in zip(data, PAIRS.items(), strict=True):
        for source, edge, names in (
            ("optical_10m", 120, ["B02", "B03", "B04", "B08"]),
            ("optical_20m", 60, ["B05", "B06", "B07", "B8A", "B11", "B12"]),
            ("optical_60m", 20, ["B01", "B09"]),
        ):
            expected = np.stack([stored(s2, optical, band) for band in names], -1)
            assert expected.shape == (edge, edge, len(names))
            np.testing.assert_array_equal(sample[source], expected)
        expected = np.stack([stored(s1, radar, band) for band in ("VV", "VH")], -1)
        np.testing.assert_array_equal(sample["sar"], expected)
        shapes = [sample[name].shape for name in data.config.sources]
        assert tuple(shapes) == data.config.shapes
        assert {sample[name].dtype for name in data.config.sources} == {np.dtype(np.float32)}


def test_metadata_say_where_and_when(read_only):
    for number, sample in enumerate(BigEarthNet(*read_only)):
        radar, optical = list(PAIRS.items())[number]
        assert (sample["id"], sample["s1_patch"], sample["s2_patch"]) == (radar, radar, optical)
        assert sample["tile"] == radar[33:38]
        assert sample["crs"] == f"EPSG:{EPSG[number]}"
        x, y = CORNERS[number]
        assert (sample["center_x"], sample["center_y"]) == (x + 600, y - 600)
        assert sample["acquired"] == datetime.datetime(2017, 6, 10 + number, 10, 10, 31)
        assert sample["s1_acquired"] == datetime.datetime(2017, 6, 10 + number, 16, 50, 43)


@pytest.mark.parametrize("classes", [19, 43])
def test_labels_name_every_class_of_a_patch(read_only, classes):
    data = BigEarthNet(*read_only, BigEarthNetConfig(classes=classes))
    shown = [np.array(CLASSES[classes])[sample["label"]].tolist() for sample in data]
    if classes == 43:
        assert shown == [list(names) for names in LABELS]
    else:
        assert shown == [["Pastures", "Inland wetlands"], []]  # airports are in none of the 19


def test_normalized_values_have_the_statistics_of_the_archive(read_only):
    raw = BigEarthNet(*read_only, BigEarthNetConfig(normalize=False))[0]["optical_20m"]
    found = BigEarthNet(*read_only)[0]["optical_20m"]
    expected = (raw[..., 1].astype(np.float64) - 1792.46290469) / 1096.01480586  # B06
    np.testing.assert_allclose(found[..., 1], expected, rtol=1e-5, atol=1e-6)


def test_nearest_and_average_are_repeated_and_averaged_pixels(read_only):
    s1, s2 = read_only
    options = {"bands": ("B8A", "B02"), "normalize": False}
    fine = BigEarthNet(s1, s2, BigEarthNetConfig(resolution=10, resampling="nearest", **options))
    optical = fine[0]["optical"]
    expected = stored(s2, OPTICAL, "B8A").repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(optical[..., 0], expected)
    np.testing.assert_array_equal(optical[..., 1], stored(s2, OPTICAL, "B02"))
    assert fine.config.shapes == ((120, 120, 2), (120, 120, 2))
    coarse = BigEarthNet(s1, s2, BigEarthNetConfig(resolution=60, resampling="average", **options))
    sample = coarse[0]
    expected = stored(s2, OPTICAL, "B8A").astype(float).reshape(20, 3, 20, 3).mean((1, 3))
    np.testing.assert_allclose(sample["optical"][..., 0], expected, atol=0.51)  # whole numbers
    expected = stored(s1, RADAR, "VH").astype(float).reshape(20, 6, 20, 6).mean((1, 3))
    np.testing.assert_allclose(sample["sar"][..., 1], expected, rtol=1e-5)


def test_one_sensor_alone_needs_one_folder(read_only):
    s1, s2 = read_only
    radar = BigEarthNet(s1, None, BigEarthNetConfig(inputs="s1"))[0]
    assert (radar["id"], "s2_patch" in radar, "optical_10m" in radar) == (RADAR, False, False)
    optical = BigEarthNet(None, s2, BigEarthNetConfig(inputs="s2"))
    assert sorted(optical.ids) == sorted(PAIRS.values())
    assert optical[0]["id"] == OPTICAL
    assert optical[0]["tile"] == "33UUP"
    with pytest.raises(ValueError, match=r"needs the folder s2="):
        BigEarthNet(s1, None)


def test_names_choose_patches_and_their_order(read_only):
    names = list(PAIRS)[::-1]
    assert [sample["id"] for sample in BigEarthNet(*read_only, names=names)] == names
    with pytest.raises(ValueError, match=r"'\.\./x' is not the name of a patch of BigEarthNet-S1"):
        BigEarthNet(*read_only, names=["../x"])


def test_evaluate_takes_it(read_only, tmp_path):
    data = BigEarthNet(*read_only)
    draw = np.random.default_rng(0)
    params = [draw.normal(size=(shape[-1], 19)).astype(np.float32) for shape in data.config.shapes]

    def network(params, *sources):
        return sum(x.mean((1, 2)) @ w for x, w in zip(sources, params, strict=True))

    table = evaluate(
        network,
        data,
        tmp_path / "table.zarr",
        params=params,
        sources=data.config.sources,
        classes=data.config.class_names,
        columns=Columns(ids=data.ids, metadata=("acquired", "tile", "crs", "center_x")),
        run=RunOptions(progress=False),
    )
    assert set(table.failure.values) == {""}
    assert table.label.values.sum(1).tolist() == [2, 0]
    assert table.tile.values.tolist() == ["33UUP", "35VPK"]
    assert table.acquired.values[0] == np.datetime64("2017-06-10T10:10:31")
    sar = data[0]["sar"].data.astype(np.float64).mean((0, 1)) @ params[-1]
    np.testing.assert_allclose(table.relevance.sel(source="sar")[0], sar, rtol=1e-4, atol=1e-5)


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": "s3"}, "one of s1, s2, s1s2"),
        ({"bands": ("B10",)}, "no band 'B10'"),
        ({"bands": ("B02", "B02")}, "each once"),
        ({"classes": 20}, "19 or 43"),
        ({"resolution": 30}, "'native', 10, 20 or 60"),
        ({"resolution": 10}, "say how with resampling="),
        ({"resolution": 10, "resampling": "best"}, "one of nearest, bilinear"),
        ({"resampling": "nearest"}, "resamples nothing"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BigEarthNetConfig(**options)


def test_what_needs_no_resampling_asks_for_none():
    config = BigEarthNetConfig(resolution=10, bands=("B04", "B03", "B02"))
    assert config.shapes == ((120, 120, 3), (120, 120, 2))
    assert [BANDS[band].resolution for band in config.bands] == [10, 10, 10]


def change(path, **changes):
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "Pastures"}, "'labels' are not a list of names"),
        ({"labels": ["Moon"]}, "'Moon' is none of the 43 classes"),
        ({"labels": ["Pastures"]}, "labels of both sensors differ"),
        ({"corresponding_s2_patch": "../../etc"}, "is not the name of a Sentinel-2 patch"),
        ({"corresponding_s2_patch": None}, "is not the name of a Sentinel-2 patch"),
        ({"acquisition_time": "yesterday"}, "Invalid isoformat"),
        ({"coordinates": {"ulx": 0, "uly": 0}}, r"upper left corner is \(0.0, 0.0\)"),
        ({"coordinates": {"ulx": "0", "uly": 0}}, "are not numbers"),
        ({"coordinates": []}, "cannot be used"),
    ],
)
def test_bad_metadata_are_refused_by_name(folders, changes, message):
    change(folders[0] / RADAR / f"{RADAR}_labels_metadata.json", **changes)
    data = BigEarthNet(*folders)
    with pytest.raises(PatchError, match=rf"{RADAR}.*{message}"):
        data[0]
    assert data[1]["id"] == data.ids[1]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "{" * 5000, "[" * 60000, '"' + "a" * 70000, "\udcff"]
)
def test_damaged_json_is_refused_by_name(folders, text):
    path = folders[0] / RADAR / f"{RADAR}_labels_metadata.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(PatchError, match=rf"{path.name} cannot be used"):
        BigEarthNet(*folders)[0]
    path.unlink()
    with pytest.raises(MissingFileError, match=rf"{path.name} is missing"):
        BigEarthNet(*folders)[0]


def test_bad_bands_are_refused_by_name(folders):
    path = folders[1] / OPTICAL / f"{OPTICAL}_B05.tif"
    write_band(path, np.ones((120, 120), np.uint16), CORNERS[0], EPSG[0])
    with pytest.raises(PatchError, match=r"B05.tif: expected one band of 60 x 60 pixels, got 1 of"):
        BigEarthNet(*folders)[0]
    write_band(path, np.ones((60, 60), np.uint16), CORNERS[1], EPSG[0])
    with pytest.raises(PatchError, match="bands lie on other grounds"):
        BigEarthNet(*folders)[0]
    path.write_bytes(b"")
    with pytest.raises(PatchError, match=r"B05.tif cannot be read"):
        BigEarthNet(*folders)[0]
    path.unlink()
    with pytest.raises(MissingFileError, match=r"B05.tif is missing"):
        BigEarthNet(*folders)[0]


def test_values_that_are_missing_are_masked(folders):
    image = np.full((120, 120), -10, np.float32)
    image[3, 5], image[4, 6] = np.nan, np.inf
    path = folders[0] / RADAR / f"{RADAR}_VV.tif"
    write_band(path, image, CORNERS[0], EPSG[0])
    found = BigEarthNet(*folders)[0]["sar"]
    assert np.argwhere(found.mask).tolist() == [[3, 5, 0], [4, 6, 0]]


def test_a_folder_without_patches_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected folders such as S1A_IW"):
        BigEarthNet(tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no BigEarthNet-S2 .*bigearth.net"):
        BigEarthNet(None, tmp_path / "x", BigEarthNetConfig(inputs="s2"))

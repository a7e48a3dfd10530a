"""Folders of rasters: pairing, labels, grids, gaps, against plain rasterio and NumPy."""

import datetime

import jax.numpy as jnp
import numpy as np
import pytest
import rasterio
from geotiffs import CRS, write
from hypothesis import given
from hypothesis import strategies as st

from rfp_jax import tables
from rfp_jax.datasets.rasters import (
    Classes,
    MissingFileError,
    PatchError,
    Raster,
    Rasters,
    UnpairedError,
)
from rfp_jax.datasets.rasters._pattern import Pattern
from rfp_jax.tables import Columns, Places, RunOptions, evaluate

SITES = ("alps", "delta", "fen")
KINDS = ("forest", "water", "forest")
QUIET = RunOptions(progress=False)


@pytest.fixture
def folder(tmp_path):
    """Three sites: four optical bands with gaps, two of radar, pixel classes, a table."""
    draw = np.random.default_rng(0)
    lines = ["site,kind,day,height\n"]
    for number, (site, kind) in enumerate(zip(SITES, KINDS, strict=True)):
        corner = (600000.0 + 80 * number, 5200000.0)
        optical = draw.integers(1, 9000, (4, 8, 6)).astype(np.uint16)
        optical[:, :2, :1] = 0
        radar = draw.normal(-12, 4, (2, 8, 6)).astype(np.float32)
        radar[0, 3, 3] = np.nan
        cover = draw.choice([10, 20, 80, 0], (1, 8, 6)).astype(np.uint8)
        write(tmp_path / f"s2/{site}_s2.tif", optical, corner=corner, nodata=0)
        write(tmp_path / f"s1/{site}_s1.tif", radar, corner=corner)
        write(tmp_path / f"lc/{site}.tif", cover, corner=corner)
        write(tmp_path / f"by_class/{kind}/{site}.tif", optical, corner=corner)
        lines.append(f"{site},{kind},2017-06-{number + 1:02},{100.5 * number}\n")
    (tmp_path / "sites.csv").write_text("".join(lines))
    return tmp_path


PAIR = {"s2": "s2/{site}_s2.tif", "s1": Raster("s1/{site}_s1.tif", scale=(0.1, 1.0))}


def test_a_sample_is_what_plain_rasterio_reads(folder):
    data = Rasters(
        folder,
        PAIR,
        label="kind",
        table=folder / "sites.csv",
        convert={"day": datetime.date.fromisoformat, "height": float},
    )
    assert (len(data), data.ids, data.unpaired) == (3, list(SITES), [])
    for index, site in enumerate(SITES):
        sample = data[index]
        with rasterio.open(folder / f"s2/{site}_s2.tif") as file:
            optical, (x, y) = file.read(), file.xy(3.5, 2.5)
        with rasterio.open(folder / f"s1/{site}_s1.tif") as file:
            radar = file.read()
        np.testing.assert_array_equal(sample["s2"].data, np.moveaxis(optical, 0, -1))
        np.testing.assert_array_equal(sample["s2"].mask, np.moveaxis(optical == 0, 0, -1))
        gap = np.isnan(np.moveaxis(radar, 0, -1))
        np.testing.assert_array_equal(sample["s1"].mask, gap)
        expected = np.moveaxis(radar, 0, -1)[~gap].astype(np.float64) * 0.1 + 1
        np.testing.assert_allclose(sample["s1"].data[~gap], expected, rtol=1e-6)
        assert sample["s2"].dtype == sample["s1"].dtype == np.float32
        assert sample["label"] == sample["kind"] == KINDS[index]
        assert (sample["id"], sample["site"], sample["crs"]) == (site, site, CRS)
        np.testing.assert_allclose((sample["center_x"], sample["center_y"]), (x, y))
        assert sample["day"] == datetime.date(2017, 6, index + 1)
        assert sample["height"] == 100.5 * index


@pytest.mark.parametrize("nodata", [None, 7])
def test_an_alpha_band_that_is_read_is_data(tmp_path, nodata):
    values = np.full((4, 3, 3), 9, np.uint8)
    values[3, 0], values[0, 2] = 0, 7  # rasterio calls the fourth band of bytes alpha
    write(tmp_path / "a_s2.tif", values, nodata=nodata)
    for bands, alpha in ((None, False), ((1, 4), False), ((1, 2), nodata is None)):
        data = Rasters(tmp_path, {"s2": Raster("{site}_s2.tif", bands=bands)})
        mask = np.ma.getmaskarray(data[0]["s2"])
        assert mask[0].all() if alpha else not mask[0].any()
        assert mask[2, :, 0].all() == (nodata is not None)
        assert not mask[1].any()


def test_bands_are_in_the_order_asked_for(folder):
    whole = Rasters(folder, {"s2": "s2/{site}_s2.tif"})[0]["s2"]
    some = Rasters(folder, {"s2": Raster("s2/{site}_s2.tif", bands=(4, 1), nodata=7.0)})[0]["s2"]
    np.testing.assert_array_equal(some.data, whole.data[..., [3, 0]])
    np.testing.assert_array_equal(some.mask, (whole.mask | (whole.data == 7))[..., [3, 0]])


def test_the_label_is_the_name_of_the_folder(folder):
    data = Rasters(folder, {"image": "by_class/{kind}/{site}.tif"}, label="kind")
    assert {sample["id"]: sample["label"] for sample in data} == {
        f"{kind}/{site}": kind for site, kind in zip(SITES, KINDS, strict=True)
    }


def test_the_label_is_a_raster(folder):
    label = Classes("lc/{site}.tif", numbers=(80, 10, 20), unknown=(0,))
    for site, sample in zip(SITES, Rasters(folder, PAIR, label=label), strict=True):
        with rasterio.open(folder / f"lc/{site}.tif") as file:
            stored = file.read(1)
        slow = [[{80: 0, 10: 1, 20: 2, 0: -1}[int(n)] for n in row] for row in stored]
        np.testing.assert_array_equal(sample["label"], slow)
        assert sample["label"].dtype == np.int32


def test_evaluate_takes_them_with_labels_from_the_table(folder, tmp_path):
    (folder / "s1/delta_s1.tif").write_bytes((folder / "s1/delta_s1.tif").read_bytes()[:300])
    data = Rasters(folder, PAIR, label="kind", table=folder / "sites.csv")
    table = evaluate(
        lambda params, s2, s1: jnp.stack([s2.mean((1, 2, 3)), s1.mean((1, 2, 3))], -1),
        data,
        tmp_path / "table.zarr",
        params={},
        sources=("s2", "s1"),
        classes=("forest", "water"),
        columns=Columns(ids=data.ids, metadata=("site", "crs", "center_x"), fill=0.0),
        run=QUIET,
    )
    good = tables.drop_failed(table)
    assert good.id.values.tolist() == ["alps", "fen"]
    assert good.label.values.tolist() == [0, 0]
    assert good.center_x.values.tolist() == [600030.0, 600190.0]
    (failed,) = tables.first_failures(table, 5)
    assert failed[0] == "delta"
    assert "delta_s1.tif" in failed[1]
    expected = np.ma.filled(data[0]["s2"], 0).mean()
    np.testing.assert_allclose(good.relevance.sel(source="s2")[0, 0], expected, rtol=1e-5)


def test_evaluate_takes_them_with_labels_of_pixels(folder, tmp_path):
    label = Classes("lc/{site}.tif", numbers=(10, 20, 80), unknown=(0,))
    weights = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    table = evaluate(
        lambda params, s2, s1: jnp.concatenate([s2, s1], -1) @ params,
        Rasters(folder, PAIR, label=label),
        tmp_path / "table.zarr",
        params=weights,
        sources=("s2", "s1"),
        classes=("tree", "shrub", "water"),
        columns=Columns(fill=0.0),
        places=Places(dims="byxc"),
        run=QUIET,
    )
    assert set(table.failure.values) == {""}
    total = table.relevance.sum("source")
    np.testing.assert_allclose(total, table.output, rtol=1e-4, atol=1e-2)


# ---- grids -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"crs": "EPSG:32632"}, "EPSG:32632"),
        ({"corner": (600010.0, 5200000.0)}, "x 600010 to 600070"),
        ({"resolution": 20.0}, "y 5199840 to 5200000"),
        ({"crs": None}, "no coordinate system"),
    ],
)
def test_other_grids_are_refused_by_name(folder, changed, message):
    write(folder / "s1/alps_s1.tif", np.zeros((2, 8, 6), np.float32), **changed)
    data = Rasters(folder, PAIR)
    with pytest.raises(PatchError, match=rf"s1/alps_s1.tif and .*s2/alps_s2.tif .*{message}"):
        data[0]
    assert data[1]["id"] == "delta"


def test_a_thousandth_of_a_pixel_is_the_same_grid(folder):
    near = (600000.0 + 0.005, 5200000.0)
    write(folder / "s1/alps_s1.tif", np.zeros((2, 8, 6), np.float32), corner=near)
    assert Rasters(folder, PAIR)[0]["s1"].shape == (8, 6, 2)
    write(folder / "s1/alps_s1.tif", np.zeros((2, 8, 6), np.float32), corner=(600000.02, 5200000))
    with pytest.raises(PatchError, match="not on one grid"):
        Rasters(folder, PAIR)[0]


def test_coarser_pixels_are_declared(folder):
    for number, site in enumerate(SITES):
        corner = (600000.0 + 80 * number, 5200000.0)
        coarse = np.full((1, 4, 3), number, np.float32)
        write(folder / f"swir/{site}.tif", coarse, resolution=20.0, corner=corner)
    data = Rasters(folder, {"s2": "s2/{site}_s2.tif", "swir": Raster("swir/{site}.tif", ratio=2)})
    assert data[2]["swir"].shape == (4, 3, 1)
    with pytest.raises(PatchError, match=r"say how many times as wide .*ratio"):
        Rasters(folder, {"s2": "s2/{site}_s2.tif", "swir": "swir/{site}.tif"})[0]


# ---- pairing -----------------------------------------------------------------------------------


def test_files_and_rows_without_partner_are_named_or_left_out(folder):
    (folder / "s1/fen_s1.tif").unlink()
    write(folder / "s1/moor_s1.tif", np.zeros((2, 8, 6), np.float32))
    text = (folder / "sites.csv").read_text()
    (folder / "sites.csv").write_text(text.replace("delta,", "lake,"))
    options = {"table": folder / "sites.csv", "label": "kind"}
    with pytest.raises(UnpairedError, match="4 files or rows") as caught:
        Rasters(folder, PAIR, **options)
    for words in (
        "s2/delta_s2.tif lacks a row of delta",
        "s2/fen_s2.tif lacks s1/fen_s1.tif",
        "s1/moor_s1.tif (s1/{site}_s1.tif) lacks s2/{site}_s2.tif",
        "the row of lake",
    ):
        assert words in str(caught.value)
    data = Rasters(folder, PAIR, unpaired="drop", **options)
    assert data.ids == ["alps"]
    assert len(data.unpaired) == 4


def test_a_file_may_belong_to_several(folder):
    for date in ("2017-06-01", "2018-01-02"):
        write(folder / f"series/alps_{date}.tif", np.ones((1, 8, 6), np.float32))
    data = Rasters(folder, {"image": "series/{site}_{date}.tif", "s1": "s1/{site}_s1.tif"},
                   unpaired="drop")  # fmt: skip
    assert data.ids == ["alps/2017-06-01", "alps/2018-01-02"]
    assert data.file(0, "s1") == data.file(1, "s1")


TEXT = st.text(st.characters(exclude_characters="/\n\r\0", exclude_categories=["Cs"]), min_size=1)


@given(st.tuples(TEXT, TEXT), st.sampled_from(["{a}_{b}.tif", "{a}/{b}_{a}.tif", "x/{b}.{a}"]))
def test_a_path_that_matches_is_the_path_of_its_fields(texts, written):
    pattern = Pattern(written)
    path = pattern.path(dict(zip("ab", texts, strict=True)))
    found = pattern.match(path)
    assert found is not None
    assert pattern.path(found) == path


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("s1.tif", "no field"),
        ("{}.tif", "not the name of a field"),
        ("{a}{b}.tif", "part one field from the next"),
        ("{a}_{b.tif", "brace"),
        ("../{a}.tif", "below the folder"),
        ("/data/{a}.tif", "below the folder"),
        ("s1//{a}.tif", "single slashes"),
    ],
)
def test_bad_patterns_are_refused(written, message):
    with pytest.raises(ValueError, match=message):
        Raster(written)


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": {}}, "name at least one"),
        ({"label": "color"}, "no field or column 'color'; there are site"),
        ({"convert": {"day": str}}, "no field or column 'day'"),
        ({"unpaired": "keep"}, "'refuse' or 'drop'"),
        ({"sources": {"id": "s2/{site}_s2.tif"}}, "'id' is taken"),
        ({"sources": {"site": "s2/{site}_s2.tif"}}, "'site' is taken"),
        ({"sources": {"s2": "s2/{site}_s2.tif", "s1": "s1/{place}_s1.tif"}}, "'place' of .*all"),
        ({"sources": {"s2": "s3/{site}.tif"}}, "no file in .* fits"),
    ],
)
def test_bad_arguments_are_refused(folder, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Rasters(folder, **{"sources": PAIR, **options})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("place,kind\nalps,forest\n", "expected different names, .*: site"),
        ("site,site\nalps,alps\n", "expected different names"),
        ("site,kind\nalps\n", "line 2 has not 2 values"),
        ("site,kind\nalps,a\nalps,b\n", "line 3: a second row of alps"),
        ("", "its columns are none"),
        ('site,kind\nalps,"a\n', "sites.csv cannot be used"),
        (b"site,kind\nalps,\xff\n", "sites.csv cannot be used"),
    ],
)
def test_bad_tables_are_refused_by_name(folder, text, message):
    path = folder / "sites.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        Rasters(folder, PAIR, table=path, label="kind")


def test_a_text_that_cannot_be_converted_is_named(folder):
    data = Rasters(folder, PAIR, table=folder / "sites.csv", convert={"kind": float})
    with pytest.raises(ValueError, match=r"convert\['kind'\] cannot take 'forest'"):
        data[0]


def test_bad_files_are_refused_by_name(folder, tmp_path):
    path, data = folder / "s2/alps_s2.tif", Rasters(folder, PAIR)
    with pytest.raises(PatchError, match=r"alps_s2.tif: expected a band 5, got 4 bands"):
        Rasters(folder, {"s2": Raster("s2/{site}_s2.tif", bands=(5,))})[0]
    for content in (b"", b"no tiff", b"<VRTDataset/>"):
        path.write_bytes(content)
        with pytest.raises(PatchError, match=r"alps_s2.tif cannot be read"):
            data[0]
    write(path, np.zeros((1, 8, 6), np.complex64))
    with pytest.raises(PatchError, match=r"expected real numbers, got complex64"):
        data[0]
    write(path, np.ones((1, 1, 1), np.uint8), width=5000, height=5000, sparse_ok=True)
    with pytest.raises(PatchError, match=r"5000 x 5000 pixels, at most .*rfp_jax.maps"):
        data[0]
    path.unlink()
    with pytest.raises(MissingFileError, match=r"alps_s2.tif is missing"):
        data[0]


def test_tags_of_scale_are_never_guessed(folder):
    values = np.arange(48, dtype=np.uint16).reshape(1, 8, 6)
    write(folder / "s2/alps_s2.tif", values, scales=(0.5,), offsets=(-1.0,))
    with pytest.raises(PatchError, match=r"scale \[0.5\] and offset \[-1.0\]; say"):
        Rasters(folder, PAIR)[0]
    for scale, expected in (("apply", values * 0.5 - 1), ("raw", values), ((2, 1), values * 2 + 1)):
        data = Rasters(folder, {"s2": Raster("s2/{site}_s2.tif", scale=scale)})
        np.testing.assert_array_equal(data[0]["s2"].data[..., 0], expected[0])


def test_classes_that_stand_for_nothing_are_refused(folder):
    with pytest.raises(PatchError, match=r"lc/alps.tif: .*\[0\] stand for no class"):
        Rasters(folder, PAIR, label=Classes("lc/{site}.tif", numbers=(10, 20, 80)))[0]
    with pytest.raises(ValueError, match="one class alone"):
        Classes("lc/{site}.tif", numbers=(10, 20), unknown=(20,))
    data = Rasters(folder, PAIR, label=Classes("lc/{site}.tif"))
    assert data[0]["label"].max() == 80  # as stored: `evaluate` refuses what is not a class

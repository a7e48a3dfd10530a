"""SEN12MS: layout, labels, reader, loader and pack against rasterio, numpy and files by hand."""

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from rfp_jax.data.sen12ms import (
    Archive,
    MissingFileError,
    MissingLabelError,
    Packed,
    Patch,
    PatchError,
    Sen12MS,
    Sen12MSConfig,
    UnsafePickleError,
    cloud_cover,
    cloud_score,
    open_patches,
    pack,
    synthesize,
)
from rfp_jax.data.sen12ms.__main__ import main
from rfp_jax.data.sen12ms.labels import CLASSES, multi_label, shares, single_label
from rfp_jax.data.sen12ms.lists import read_labels, read_list, read_split
from rfp_jax.data.sen12ms.pickles import read_pickle
from rfp_jax.data.sen12ms.scenery import OPACITY, clouded, fractal, scene

SIZE = 24
PATCHES = 40
# FACTS, typed in a second time: what the published networks were trained with
S2_MEAN = """
1226.4215 1137.3799 1139.6792 1350.9973 1932.9058 2211.1584 2154.9846 2409.1128 2001.8622 1356.0801
"""
S2_STD = """
741.6254 740.883 960.1045 946.76056 985.52747 1082.4341 1057.7628 1136.1942 1132.7898 991.48016
"""
S1_MEAN, S1_STD = [-11.76858, -18.294598], [4.525339, 4.3586307]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("sen12ms") / "archive", PATCHES, size=SIZE, seed=7)


@pytest.fixture
def copy(root, tmp_path):
    return Path(shutil.copytree(root, tmp_path / "copy"))


def archive(root, split="test", **options):
    return Archive(root, split, size=SIZE, **options)


def first_twin(patches):
    return int(np.flatnonzero(patches.twins)[0])


def write_tif(path, image):
    count, height, width = image.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    where = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    size = {"count": count, "height": height, "width": width}
    with rasterio.open(path, "w", driver="GTiff", dtype=image.dtype, **size, **where) as file:
        file.write(image)


# Names


def test_files_lie_where_the_published_archive_has_them():
    patch = Patch.parse("ROIs2017_winter_s2_59_p318.tif")
    expected = {
        "s1": "ROIs2017_winter/s1_59/ROIs2017_winter_s1_59_p318.tif",
        "s2": "ROIs2017_winter/s2_59/ROIs2017_winter_s2_59_p318.tif",
        "lc": "ROIs2017_winter/lc_59/ROIs2017_winter_lc_59_p318.tif",
        "s2_cloudy": "ROIs2017_winter_s2_cloudy/s2_cloudy_59/ROIs2017_winter_s2_cloudy_59_p318.tif",
    }
    assert {kind: str(patch.file(kind)) for kind in expected} == expected
    assert Patch.parse("ROIs2017_winter_s2_cloudy_59_p318.tif") == patch


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "ROIs1158_spring_s2_1_p30.tif/../../x",
        "ROIs1158_spring_s2_../1_p30.tif",
        "ROIs1158_spring_s2_1_p30.tif\n",
        "ROIs1158_spring_s2_1_p٣.tif",
        "ROIs9999_spring_s2_1_p30.tif",
        "ROIs1158_spring_s1_1_p30.tif",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="is no name of a SEN12MS patch"):
        Patch.parse(name)


def test_synthetic_archive_has_every_file_of_the_layout(root):
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    expected = {"SYNTHETIC.json", "README.txt", "IGBP_probability_labels.pkl"}
    for split in ("train", "val", "test"):
        expected |= {f"{split}_list.pkl", f"{split}_list_cloudy.pkl"}
        twins = pickle.loads((root / f"{split}_list_cloudy.pkl").read_bytes())
        for name in pickle.loads((root / f"{split}_list.pkl").read_bytes()):
            season, place = name.split("_s2_")
            scene = place.split("_")[0]
            for kind in ("s1", "s2", "lc"):
                expected.add(f"{season}/{kind}_{scene}/{season}_{kind}_{place}")
            for kind in ("s1", "s2", "s2_cloudy") if name in twins else ():
                expected.add(f"{season}_{kind}/{kind}_{scene}/{season}_{kind}_{place}")
    assert found == expected
    assert "synthetic" in json.loads((root / "SYNTHETIC.json").read_text())["note"]
    assert "synthetic" in (root / "README.txt").read_text()


def test_the_default_size_is_the_published_one(tmp_path):
    out = synthesize(tmp_path / "a", 10)
    with rasterio.open(next(out.glob("ROIs*/s2_*/*.tif"))) as s2:
        assert (s2.count, s2.height, s2.width, set(s2.dtypes)) == (13, 256, 256, {"uint16"})
    with rasterio.open(next(out.glob("ROIs*/s1_*/*.tif"))) as s1:
        assert (s1.count, s1.height, s1.width, set(s1.dtypes)) == (2, 256, 256, {"float32"})
    assert Sen12MS(Archive(out, "train"))[0]["optical"].shape == (256, 256, 10)


def test_the_same_seed_gives_the_same_archive(root, tmp_path):
    again = synthesize(tmp_path / "again", PATCHES, size=SIZE, seed=7)
    other = synthesize(tmp_path / "other", PATCHES, size=SIZE, seed=8)
    for path in sorted(root.rglob("*.*")):
        assert path.read_bytes() == (again / path.relative_to(root)).read_bytes(), path
    assert (root / "IGBP_probability_labels.pkl").read_bytes() != (
        other / "IGBP_probability_labels.pkl"
    ).read_bytes()


# Labels


def test_simplified_classes_by_hand():
    p = np.arange(17) / np.arange(17).sum()
    by_hand = [
        *(p[0:5].sum(), p[5:7].sum(), p[7:9].sum(), p[9], p[10]),
        *(p[11] + p[13], p[12], p[14], p[15], p[16]),
    ]
    np.testing.assert_allclose(shares(p), by_hand, rtol=1e-15)
    assert len(CLASSES[10]) == 10
    assert len(CLASSES[17]) == 17
    two = np.zeros(17)
    two[[0, 3, 12, 16]] = 0.05, 0.04, 0.1, 0.81
    assert (single_label(two), single_label(two, 17)) == (9, 16)
    assert np.flatnonzero(multi_label(two)).tolist() == [6, 9]
    two[[0, 3]] = 0.06, 0.05  # neither is a tenth, the forest of both is
    assert np.flatnonzero(multi_label(two)).tolist() == [0, 6, 9]
    assert np.flatnonzero(multi_label(two, 17)).tolist() == [12, 16]


def test_labels_of_the_archive_are_the_shares_of_its_land_cover(root):
    patches = archive(root)
    for index in range(0, len(patches), 5):
        with rasterio.open(root / patches.patches[index].file("lc")) as file:
            igbp = file.read(1)
        by_hand = [(igbp == k).mean() for k in range(1, 18)]
        np.testing.assert_allclose(patches.probabilities(index), by_hand, rtol=1e-12)


def test_broken_patches_are_left_out(copy):
    names = pickle.loads((copy / "test_list.pkl").read_bytes())
    more = [*names, "ROIs1158_spring_s2_1_p127.tif", "ROIs2017_winter_s2_59_p318.tif"]
    (copy / "test_list.pkl").write_bytes(pickle.dumps(more))
    assert [patch.name for patch in read_split(copy, "test")] == names


def test_missing_label_names_patch_and_file(copy):
    path = copy / "IGBP_probability_labels.pkl"
    labels = pickle.loads(path.read_bytes())
    name = pickle.loads((copy / "test_list.pkl").read_bytes())[2]
    del labels[name]
    path.write_bytes(pickle.dumps(labels))
    data = Sen12MS(archive(copy))
    assert data[1]["label"].shape == ()
    with pytest.raises(MissingLabelError, match=rf"labels.pkl has no label for {name}"):
        data[2]


@pytest.mark.parametrize("bad", [np.full(17, np.nan), np.zeros(17), -np.eye(17)[3]])
def test_label_that_is_no_distribution_is_refused(copy, bad):
    path = copy / "IGBP_probability_labels.pkl"
    labels = pickle.loads(path.read_bytes())
    name = pickle.loads((copy / "test_list.pkl").read_bytes())[0]
    path.write_bytes(pickle.dumps(labels | {name: bad}))
    with pytest.raises(ValueError, match=f"label of {name} is no distribution"):
        archive(copy).probabilities(0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test_list.pkl", {"a": 1}, "must hold a list of patch names"),
        ("test_list.pkl", [], "test_list in .* names no patch"),
        ("test_list_cloudy.pkl", 3, "must hold a list of patch names, got int"),
        ("test_list.pkl", ["a.tif"], "test_list.pkl: 'a.tif' is no name"),
        ("test_list.pkl", ["ROIs1158_spring_s2_1_p3.tif"] * 2, "names ROIs.* twice"),
        ("test_list_cloudy.pkl", ["ROIs1158_spring_s2_99999_p3.tif"], "none of the patches"),
        ("IGBP_probability_labels.pkl", [1, 2], "must hold a dict"),
        ("IGBP_probability_labels.pkl", {"ROIs1158_spring_s2_1_p3.tif": [1.0]}, "17 probabil"),
        ("IGBP_probability_labels.pkl", {"ROIs1158_spring_s2_1_p3.tif": ["a"]}, "not 17 numb"),
    ],
)
def test_lists_of_another_kind_are_refused(copy, name, content, message):
    (copy / name).write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message):
        archive(copy)


def test_missing_lists_say_where_to_get_them(copy):
    (copy / "test_list.pkl").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no test_list.pkl.*github.com/schmitt-muc/SEN12MS"
    ):
        archive(copy)
    with pytest.raises(FileNotFoundError, match=r"no SEN12MS in .*mediatum.ub.tum.de.*synthesize"):
        archive(copy / "nowhere")


# Pickles


class Exploit:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "asks_for"),
    [
        ([Exploit(os.system, "echo ran > {mark}")], "posix.system"),
        ({"a": Exploit(eval, "open('{mark}', 'w')")}, "builtins.eval"),
        (Exploit(subprocess.Popen, ["touch", "{mark}"]), "subprocess.Popen"),
        (np.array([Exploit(os.system, "echo ran > {mark}")], object), "the NumPy type 'O8'"),
        (np.load, "numpy.load"),
        (np.zeros(2, [("a", "i4")]), "the NumPy type 'V4'"),
    ],
)
def test_a_pickle_that_asks_for_code_is_refused_and_not_run(tmp_path, content, asks_for):
    mark = tmp_path / "ran"
    path = tmp_path / "test_list.pkl"
    path.write_bytes(pickle.dumps(content).replace(b"{mark}", str(mark).encode()[:6]))
    with pytest.raises(UnsafePickleError, match=rf"test_list.pkl asks for {asks_for}"):
        read_pickle(path)
    with pytest.raises(UnsafePickleError):
        read_split(tmp_path, "test")
    assert not mark.exists()


def test_a_pickle_cannot_change_what_stands_for_numpy(tmp_path):
    """Opcode BUILD on the class itself: state for a class, not for an object of it."""
    path = tmp_path / "a.pkl"
    for module, name in (("numpy", "ndarray"), ("_codecs", "encode"), ("numpy", "dtype")):
        for state in (b"N}X\x01\x00\x00\x00aK\x01s\x86", b"}X\x01\x00\x00\x00aK\x01s"):
            code = b"\x80\x04c" + module.encode() + b"\n" + name.encode() + b"\n" + state + b"b."
            path.write_bytes(code)
            with pytest.raises(ValueError, match=r"a.pkl is no pickle, or a damaged"):
                read_pickle(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_content_and_arrays_are_read_as_pickle_reads_them(tmp_path, protocol):
    content = {
        "names": ["a", "b"],
        "number": [1, 2.5, True, None, np.float32(1.5), np.int64(-3)],
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "other end": np.arange(3, dtype=">i4"),
        "text": np.array(["x", "yz"]),
        "bytes": b"\x00\xff",
        "none": np.zeros((0, 17)),
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_pickle(path)
    assert list(found) == list(content)
    for key, value in content.items():
        if isinstance(value, np.ndarray):
            assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape)
            np.testing.assert_array_equal(found[key], value)
        else:
            assert found[key] == value


def test_half_a_pickle_is_refused(root, tmp_path):
    whole = (root / "IGBP_probability_labels.pkl").read_bytes()
    path = tmp_path / "IGBP_probability_labels.pkl"
    for part in (b"", whole[:100], whole[:-1], b"<html>404</html>"):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r"labels.pkl is no pickle, or .* half downloaded"):
            read_labels(tmp_path)


def test_safe_form_holds_the_same_and_is_read_without_pickles(root, tmp_path):
    assert main(["safe", str(root), "--out", str(tmp_path)]) == 0
    assert not list(tmp_path.glob("*.pkl"))
    safe, published = read_labels(tmp_path), read_labels(root)
    assert safe.rows == published.rows
    np.testing.assert_array_equal(safe.probabilities, published.probabilities)
    for name in ("train_list", "val_list", "test_list", "test_list_cloudy"):
        assert read_list(tmp_path, name) == read_list(root, name)
        assert (tmp_path / f"{name}.txt").read_text().split() == pickle.loads(
            (root / f"{name}.pkl").read_bytes()
        )
    with np.load(tmp_path / "IGBP_probability_labels.npz", allow_pickle=False) as file:
        assert file["probabilities"].shape == (PATCHES, 17)
    there = Sen12MS(archive(root, labels=tmp_path))
    assert there.ids == Sen12MS(archive(root)).ids


def test_safe_form_is_written_whole_or_not_at_all(copy, tmp_path):
    (copy / "val_list.pkl").write_bytes(pickle.dumps(Exploit(os.system, "true")))
    out = tmp_path / "out"
    assert main(["safe", str(copy), "--out", str(out)]) == 1
    assert not out.exists()


# Reading


def test_samples_equal_plain_rasterio_and_numpy(root):
    patches = archive(root)
    index = first_twin(patches)
    name = patches.patches[index].name
    season, place = name.split("_s2_")
    number = place.split("_")[0]
    bands = [2, 3, 4, 5, 6, 7, 8, 9, 12, 13]
    with rasterio.open(root / season / f"s2_{number}" / name) as file:
        clear = file.read(bands).astype(np.float64)
    cloudy_name = name.replace("_s2_", "_s2_cloudy_")
    folder = root / f"{season}_s2_cloudy" / f"s2_cloudy_{number}"
    with rasterio.open(folder / cloudy_name) as file:
        cloudy = file.read(bands).astype(np.float64)
    with rasterio.open(root / season / f"s1_{number}" / name.replace("_s2_", "_s1_")) as file:
        sar = np.clip(np.nan_to_num(file.read().astype(np.float64)), -25, 0)
    mean, std = (np.array(text.split(), float)[:, None, None] for text in (S2_MEAN, S2_STD))
    s1_mean, s1_std = (np.array(each)[:, None, None] for each in (S1_MEAN, S1_STD))
    expected = {
        "clear": ((clear - mean) / std).transpose(1, 2, 0),
        "cloudy": ((cloudy - mean) / std).transpose(1, 2, 0),
        "sar": ((sar - s1_mean) / s1_std).transpose(1, 2, 0),
    }
    for fraction, condition in ((0.0, "clear"), (1.0, "cloudy")):
        sample = Sen12MS(patches, Sen12MSConfig(cloud_fraction=fraction))[index]
        assert (sample["id"], sample["cloudy"]) == (name, condition == "cloudy")
        assert sample["optical"].dtype == sample["sar"].dtype == np.float32
        np.testing.assert_allclose(sample["optical"], expected[condition], atol=1e-5)
        np.testing.assert_allclose(sample["sar"], expected["sar"], atol=1e-5)
    rgb = Sen12MS(patches, Sen12MSConfig(inputs="rgb"))[index]["optical"]
    np.testing.assert_allclose(rgb, expected["clear"][..., :3], atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "keys", "channels"),
    [
        ("s1", {"sar"}, (2,)),
        ("s2", {"optical"}, (10,)),
        ("s1s2", {"optical", "sar"}, (10, 2)),
        ("rgb", {"optical"}, (3,)),
    ],
)
def test_inputs_classes_and_labels(root, inputs, keys, channels):
    config = Sen12MSConfig(inputs=inputs, classes=17, multi_label=True)
    sample = Sen12MS(archive(root), config)[0]
    assert set(sample) == {*keys, "label", "id", "cloudy"}
    assert config.channels == channels == tuple(sample[s].shape[-1] for s in config.sources)
    assert (sample["label"].shape, sample["label"].dtype) == ((17,), bool)
    one = Sen12MS(archive(root), Sen12MSConfig(inputs=inputs, classes=17))[0]["label"]
    assert sample["label"][one]


def test_nan_in_sar_is_zero_db_as_published_but_a_band_without_data_is_refused(copy):
    patches = archive(copy)
    path = patches.file(0, "s1")
    with rasterio.open(path) as file:
        image = file.read()
    image[0, :2, :3] = np.nan
    image[1, 5, 5], image[1, 6, 6] = -60, 12
    write_tif(path, image)
    sar = Sen12MS(patches)[0]["sar"] * S1_STD + S1_MEAN
    np.testing.assert_allclose(sar[:2, :3, 0], 0, atol=1e-5)
    np.testing.assert_allclose([sar[5, 5, 1], sar[6, 6, 1]], [-25, 0], atol=1e-5)
    image[1] = np.nan
    write_tif(path, image)
    with pytest.raises(PatchError, match=rf"{path.name}: a whole band is NaN"):
        Sen12MS(patches)[0]


def _truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _corrupt(path):
    path.write_bytes(b"<html>not found</html>")


def _bands(path):
    write_tif(path, np.ones((4, SIZE, SIZE), np.float32))


def _size(path):
    with rasterio.open(path) as file:
        write_tif(path, np.ones((file.count, SIZE, SIZE - 1), np.float32))


def _missing(path):
    path.unlink()


def _nans(path):
    with rasterio.open(path) as file:
        write_tif(path, np.full((file.count, SIZE, SIZE), np.nan, np.float32))


def _elsewhere(path):
    """A file of another format that shows a file outside of the archive."""
    other = path.with_suffix(".elsewhere")
    path.rename(other)
    rasterio.shutil.copy(other, path, driver="VRT")
    assert path.read_text().startswith("<VRTDataset")


DAMAGE = [
    (_truncated, "cannot be read: damaged or half downloaded"),
    (_corrupt, "cannot be read: damaged or half downloaded"),
    (_elsewhere, "cannot be read: damaged or half downloaded"),
    (_bands, r"expected \d+ bands, got 4"),
    (_size, f"expected {SIZE} x {SIZE} pixels, got {SIZE} x {SIZE - 1}"),
    (_missing, "is missing"),
    (_nans, r"values are not finite|a whole band is NaN"),
]


@pytest.mark.parametrize("kind", ["s1", "s2", "s2_cloudy"])
@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_damaged_files_are_named(copy, kind, damage, message):
    patches = archive(copy)
    index = first_twin(patches)
    path = patches.file(index, kind)
    damage(path)
    data = Sen12MS(patches, Sen12MSConfig(cloud_fraction=float(kind == "s2_cloudy")))
    with pytest.raises(PatchError, match=rf"{path.name}.*({message})"):
        data[index]
    assert issubclass(MissingFileError, FileNotFoundError)
    assert data[index - 1 if index else 1]["id"]  # the others can be read


def test_published_size_is_expected_unless_told_otherwise(root):
    with pytest.raises(PatchError, match=f"expected 256 x 256 pixels, got {SIZE} x {SIZE}"):
        Sen12MS(Archive(root, "test"))[0]


def test_check_command_names_every_problem(copy, capsys):
    flags = ["--splits", "test", "--size", str(SIZE)]
    assert main(["check", str(copy), *flags]) == 0
    assert "everything is there" in capsys.readouterr().out
    patches = archive(copy)
    index = first_twin(patches)
    _truncated(patches.file(index, "s1"))
    _missing(patches.file(index, "s2_cloudy"))
    assert main(["check", str(copy), *flags]) == 1
    out = capsys.readouterr().out
    assert "2 problems" in out
    assert patches.file(index, "s1").name in out
    assert patches.file(index, "s2_cloudy").name in out
    assert main(["check", str(copy / "nowhere")]) == 1
    assert "error: no SEN12MS in" in capsys.readouterr().err


# Clouds


def test_twins_are_those_listed_or_those_on_disk(copy):
    listed = archive(copy).twins
    assert 0 < listed.sum() < len(listed)
    (copy / "test_list_cloudy.pkl").unlink()
    np.testing.assert_array_equal(archive(copy).twins, listed)
    elsewhere = copy.parent / "cr"
    elsewhere.mkdir()
    for folder in copy.glob("*_s2_cloudy"):
        folder.rename(elsewhere / folder.name)
    assert not archive(copy).twins.any()
    np.testing.assert_array_equal(archive(copy, cloudy=elsewhere).twins, listed)
    with pytest.raises(ValueError, match=r"no patch of Archive.* has a cloudy twin"):
        Sen12MS(archive(copy), Sen12MSConfig(cloud_fraction=0.5))


def test_cloud_fraction_chooses_among_the_twins(root):
    patches = archive(root, "train")
    twins = patches.twins.sum()

    def cloudy(fraction, epoch=0, seed=1):
        data = Sen12MS(patches, Sen12MSConfig(cloud_fraction=fraction, seed=seed))
        found = np.array([data[i + epoch * len(data)]["cloudy"] for i in range(len(data))])
        assert not found[~patches.twins].any()
        return found

    few, half, all_ = cloudy(0.25), cloudy(0.5), cloudy(1.0)
    assert [few.sum(), half.sum(), all_.sum()] == [round(f * twins) for f in (0.25, 0.5, 1)]
    assert (half | few == half).all()
    assert (cloudy(0.5) == half).all()
    assert (cloudy(0.5, epoch=1) != half).any()
    assert (cloudy(0.5, seed=2) != half).any()
    assert not cloudy(0.0).any()


@pytest.mark.parametrize("size", [128, 256])
def test_estimated_cloud_cover_is_that_of_the_synthesizer(size):
    true, estimated, clear = [], [], []
    for number in range(24):
        rng = np.random.default_rng(number)
        ground = scene(rng, [0, 3, 5, 7, 9, 10, 11, 13, 16, 8][number % 10], size)
        over = clouded(rng, ground.s2, (number + 0.5) / 24)
        true.append(over.cover)
        estimated.append(cloud_cover(np.moveaxis(over.s2, 0, -1)))
        clear.append(cloud_cover(np.moveaxis(ground.s2, 0, -1)))
    assert np.corrcoef(true, estimated)[0, 1] > 0.98
    assert np.abs(np.subtract(true, estimated)).mean() < 0.06
    assert np.median(clear) < 0.01
    assert min(true) < 0.05
    assert max(true) > 0.95


def test_cloud_cover_of_a_cloud_with_known_edges():
    image = np.full((128, 128, 13), 900.0)
    image[:, 32:96] = 6000.0
    mask = cloud_score(image) >= 0.2
    assert mask[:, 34:94].all()
    assert not mask[:, :28].any()
    assert cloud_cover(image) == pytest.approx(0.5, abs=0.04)


def test_snow_is_no_cloud():
    image = np.full((64, 64, 13), 7000.0)
    image[..., 11:] = 500.0  # dark in the short-wave infrared
    assert cloud_cover(image) == 0


def test_cloud_cover_of_samples_is_that_of_the_image_shown(root):
    truth = json.loads((root / "SYNTHETIC.json").read_text())["cloud_cover"]
    patches = archive(root, "train")
    clear, cloudy = (
        Sen12MS(patches, Sen12MSConfig(cloud_fraction=f, cloud_cover=True)) for f in (0.0, 1.0)
    )
    index = max(np.flatnonzero(patches.twins), key=lambda i: truth[clear.ids[i]])
    assert truth[clear.ids[index]] > 0.8
    assert cloudy[index]["cloud_cover"] > 0.8
    assert clear[index]["cloud_cover"] < 0.5
    with rasterio.open(patches.file(int(index), "s2_cloudy")) as file:
        whole = np.moveaxis(file.read(), 0, -1)
    assert cloudy[index]["cloud_cover"] == cloud_cover(whole)


def test_clouds_are_semi_transparent_and_cast_shadows():
    rng = np.random.default_rng(3)
    ground = scene(rng, 3, 256).s2
    over = clouded(rng, ground, 0.4).s2.astype(float)
    nir = over[7] / ground[7]
    assert (nir < 0.7).mean() > 0.02  # shadows
    blue = (over[1] - ground[1]) / (7700 - ground[1])
    assert ((blue > 0.15) & (blue < 0.6)).mean() > 0.05  # the ground shines through
    assert OPACITY < 0.15


def test_both_sensors_tell_classes_apart_and_clouds_hide_them_from_one():
    """A nearest-mean classifier on band means: what a network can learn is there."""
    classes = [3, 6, 9, 12, 15, 16]

    def means(seed, number, cover=0.0):
        rng, dominant = np.random.default_rng((seed, number)), classes[number % len(classes)]
        found = scene(rng, dominant, 48)
        s2 = clouded(rng, found.s2, cover).s2 if cover else found.s2
        return np.log(s2.mean((1, 2)) + 1), found.s1.mean((1, 2))

    samples, chance = 600, 1 / len(classes)
    train, clear = ([means(seed, i) for i in range(samples)] for seed in (0, 1))
    cloudy = [means(1, i, cover=0.9) for i in range(samples)]
    labels = np.arange(samples) % len(classes)

    def score(data, sensor):
        mine, its = (np.stack([each[sensor] for each in d]) for d in (train, data))
        centres = np.stack([mine[labels == k].mean(0) for k in range(len(classes))])
        spread = mine.std(0)
        distance = (((its[:, None] - centres) / spread) ** 2).sum(-1)
        return (distance.argmin(1) == labels).mean()

    by_luck = chance + 5 * np.sqrt(chance * (1 - chance) / samples)
    assert score(clear, 0) > 0.7
    assert by_luck < score(clear, 1) < score(clear, 0)
    assert score(cloudy, 0) < by_luck
    assert score(cloudy, 1) == score(clear, 1)  # clouds do not touch it


def test_fractal_is_standardised_and_smoother_with_a_steeper_slope():
    rng = np.random.default_rng(0)
    rough, smooth = (fractal(rng, 64, corner=2, slope=s) for s in (1.0, 4.0))
    for surface in (rough, smooth):
        np.testing.assert_allclose([surface.mean(), surface.std()], [0, 1], atol=1e-4)
    assert np.abs(np.diff(smooth)).mean() < 0.3 * np.abs(np.diff(rough)).mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patches": 9}, "at least 10 patches"),
        ({"patches": 10, "size": 8}, "at least 10 patches of at least 16 pixels"),
        ({"patches": 10, "seed": -1}, "seed that is not negative"),
    ],
)
def test_bad_synthesis_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        synthesize(tmp_path / "a", **options)
    assert not list(tmp_path.iterdir())


# Loading


def test_loader_gives_every_patch_once_in_a_keyed_order(root):
    data = Sen12MS(archive(root, "train"), Sen12MSConfig(cloud_fraction=0.5))

    def ids(**options):
        batches = list(data.loader(7, **options))
        assert {key: value.shape[0] for key, value in batches[0].items()} == dict.fromkeys(
            batches[0], 7
        )
        return [name for batch in batches for name in batch["id"].tolist()]

    assert ids() == ids(threads=0) == data.ids
    shuffled = ids(shuffle=True)
    assert sorted(shuffled) == sorted(data.ids)
    assert shuffled != data.ids
    assert shuffled == ids(shuffle=True, threads=2)
    assert shuffled != ids(shuffle=True, epoch=1)
    assert len(ids(drop_remainder=True)) == len(data) // 7 * 7


def test_loaded_batches_are_the_samples_stacked(root):
    data = Sen12MS(archive(root), Sen12MSConfig(cloud_fraction=1.0, cloud_cover=True))
    batch = next(iter(data.loader(4, epoch=2)))
    samples = [data[i + 2 * len(data)] for i in range(4)]
    for key in batch:
        np.testing.assert_array_equal(batch[key], np.stack([s[key] for s in samples]))


def test_an_iterator_goes_on_from_its_saved_state(root):
    loader = Sen12MS(archive(root, "train")).loader(4, shuffle=True, threads=2)
    iterator = iter(loader)
    next(iterator)
    state = iterator.get_state()
    rest = [batch["id"].tolist() for batch in iterator]
    again = iter(loader)
    again.set_state(state)
    assert [batch["id"].tolist() for batch in again] == rest


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"inputs": "s3"}, "inputs must be one of s1, s2, s1s2, rgb, got 's3'"),
        ({"classes": 11}, "classes must be 10 or 17, got 11"),
        ({"cloud_fraction": 1.5}, r"cloud_fraction must lie in \[0, 1\], got 1.5"),
        ({"cloud_fraction": float("nan")}, r"must lie in \[0, 1\], got nan"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Sen12MSConfig(**setting)


def test_bad_access_is_refused(root):
    data = Sen12MS(archive(root))
    with pytest.raises(IndexError, match="must not be negative"):
        data[-1]
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        data.loader(0)
    with pytest.raises(ValueError, match="split must be"):
        archive(root, "training")


# Packs


@pytest.fixture(scope="module")
def packed(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed")
    pack(archive(root), out, shard=5)
    return out


def test_a_pack_gives_the_same_samples_bit_for_bit(root, packed):
    assert len(list((packed / "test").glob("*.array_record"))) == 3  # 12 patches, 5 a shard
    for inputs, fraction in (("s1s2", 0.5), ("rgb", 1.0), ("s1", 0.0)):
        config = Sen12MSConfig(inputs=inputs, cloud_fraction=fraction, cloud_cover=True)
        read = Sen12MS(archive(root), config)
        again = Sen12MS(open_patches(packed, "test", size=SIZE), config)
        assert again.ids == read.ids
        assert again.patches.note == read.patches.note
        for index in range(len(read)):
            mine, its = again[index], read[index]
            assert mine.keys() == its.keys()
            for key in its:
                np.testing.assert_array_equal(mine[key], its[key])


def test_half_precision_packs_are_half_as_large_and_close(root, packed, tmp_path):
    folder = pack(archive(root), tmp_path, dtype="float16")
    size = sum(path.stat().st_size for path in folder.glob("*.array_record"))
    whole = sum(path.stat().st_size for path in (packed / "test").glob("*.array_record"))
    assert size < 0.55 * whole
    mine, its = Sen12MS(Packed(folder))[0], Sen12MS(archive(root))[0]
    np.testing.assert_allclose(mine["optical"], its["optical"], rtol=1e-3, atol=1e-3)


def test_packing_is_all_or_nothing(copy, tmp_path):
    patches = archive(copy)
    _truncated(patches.file(3, "s2"))
    with pytest.raises(PatchError, match="cannot be read"):
        pack(patches, tmp_path / "out", shard=2)
    assert not (tmp_path / "out").exists()
    folder = pack(patches, tmp_path / "out", shard=2, skip_broken=True)
    data, original = Sen12MS(Packed(folder)), Sen12MS(patches)
    with pytest.raises(PatchError, match=f"could not be packed: .*{original.ids[3][5:]}"):
        data[3]
    np.testing.assert_array_equal(data[4]["optical"], original[4]["optical"])
    with pytest.raises(FileExistsError, match="exists already and is left as it is"):
        pack(patches, tmp_path / "out")


def test_half_a_pack_is_refused(packed, tmp_path):
    copy = Path(shutil.copytree(packed / "test", tmp_path / "test"))
    shard = copy / "patches-00001.array_record"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(
        ValueError, match=r"patches-00001.array_record has .* bytes, pack.json says"
    ):
        Packed(copy)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"patches-00001.array_record is missing"):
        Packed(copy)
    shard.write_bytes(whole)
    index = copy / "index.npz"
    index.write_bytes(index.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"index.npz is missing or damaged"):
        Packed(copy)
    manifest = copy / "pack.json"
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(facts | {"shards": {"../x": 1}}))
    with pytest.raises(ValueError, match="names shards outside of its folder"):
        Packed(copy)
    manifest.write_text("{")
    with pytest.raises(ValueError, match=r"pack.json is damaged"):
        Packed(copy)
    manifest.unlink()
    with pytest.raises(FileNotFoundError, match="pack an archive with"):
        Packed(copy)


def test_a_pack_of_another_size_is_refused(packed):
    with pytest.raises(ValueError, match=f"holds patches of {SIZE} x {SIZE} pixels, expected 256"):
        open_patches(packed, "test")


def test_commands_say_where_their_results_are(tmp_path, capsys):
    out, shards = tmp_path / "a", tmp_path / "p"
    assert main(["synthesize", str(out), "--patches", "10", "--size", "16"]) == 0
    printed = capsys.readouterr().out
    assert "synthetic data, not SEN12MS" in printed
    assert str(out) in printed
    assert main(["pack", str(out), str(shards), "--size", "16", "--splits", "val"]) == 0
    assert str(shards / "val") in capsys.readouterr().out
    assert main(["synthesize", str(out), "--patches", "10"]) == 1
    assert "exists already" in capsys.readouterr().err


def test_help_is_there_for_every_command():
    for command in ("synthesize", "pack", "check", "safe"):
        with pytest.raises(SystemExit) as end:
            main([command, "--help"])
        assert end.value.code == 0


def test_importing_the_data_needs_neither_rasterio_nor_grain():
    code = (
        "import sys; sys.modules['rasterio'] = sys.modules['grain'] = None\n"
        "from rfp_jax.data.sen12ms import Archive, Patch\n"
        "from rfp_jax.data.sen12ms.geotiff import read_s2\n"
        "from pathlib import Path\n"
        "read_s2(Path('a.tif'))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "pip install 'rfp-jax[experiments]'" in found.stderr


def test_read_pickle_takes_no_more_than_the_file(tmp_path):
    """A recursive list has no end; it is refused rather than followed for ever."""
    content: list = []
    content.append(content)
    buffer = io.BytesIO()
    pickle.dump(content, buffer)
    path = tmp_path / "a.pkl"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match=r"a.pkl is no pickle, or a damaged"):
        read_pickle(path)


def test_example_of_the_page_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "sen12ms.md").read_text()
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "sen12ms.md", "exec"), names)
    assert names["batch"]["optical"].shape == (4, 64, 64, 10)
    assert names["sample"].keys() == names["batch"].keys()

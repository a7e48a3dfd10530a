"""Patches of SEN12MS against plain rasterio and numpy; damaged files are named."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from rfp_jax.datasets.sen12ms import (
    Archive,
    MissingFileError,
    PatchError,
    Sen12MS,
    Sen12MSConfig,
)
from rfp_jax.datasets.sen12ms._command import main
from tests.datasets.sen12ms.archives import SIZE, archive, first_twin, truncate, write_tif

# The published statistics, typed in a second time: what the published networks were trained with
S2_MEAN = """
1226.4215 1137.3799 1139.6792 1350.9973 1932.9058 2211.1584 2154.9846 2409.1128 2001.8622 1356.0801
"""
S2_STD = """
741.6254 740.883 960.1045 946.76056 985.52747 1082.4341 1057.7628 1136.1942 1132.7898 991.48016
"""
S1_MEAN, S1_STD = [-11.76858, -18.294598], [4.525339, 4.3586307]


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
    (truncate, "cannot be read: damaged or half downloaded"),
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
    truncate(patches.file(index, "s1"))
    _missing(patches.file(index, "s2_cloudy"))
    assert main(["check", str(copy), *flags]) == 1
    out = capsys.readouterr().out
    assert "2 problems" in out
    assert patches.file(index, "s1").name in out
    assert patches.file(index, "s2_cloudy").name in out
    assert main(["check", str(copy / "nowhere")]) == 1
    assert "error: no SEN12MS in" in capsys.readouterr().err

"""Files of SEN12MS lie, and are named, as in the published archives."""

import json
import pickle

import pytest
import rasterio
import rasterio.shutil

from rfp_jax.datasets.sen12ms import Archive, Patch, Sen12MS, synthesize
from tests.datasets.sen12ms.archives import PATCHES, SIZE


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
    with pytest.raises(ValueError, match="is not the name of a SEN12MS patch"):
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

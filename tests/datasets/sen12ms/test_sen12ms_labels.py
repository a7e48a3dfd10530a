"""Labels and splits of SEN12MS: classes by hand, and what is refused."""

import pickle

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from rfp_jax.datasets.sen12ms import (
    CLASSES,
    MissingLabelError,
    Sen12MS,
)
from rfp_jax.datasets.sen12ms._labels import fractions, multi_label, single_label
from rfp_jax.datasets.sen12ms._lists import read_split
from tests.datasets.sen12ms.archives import archive


def test_simplified_classes_by_hand():
    p = np.arange(17) / np.arange(17).sum()
    by_hand = [
        *(p[0:5].sum(), p[5:7].sum(), p[7:9].sum(), p[9], p[10]),
        *(p[11] + p[13], p[12], p[14], p[15], p[16]),
    ]
    np.testing.assert_allclose(fractions(p), by_hand, rtol=1e-15)
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
    with pytest.raises(ValueError, match=f"label of {name} is not a distribution"):
        archive(copy).probabilities(0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test_list.pkl", {"a": 1}, "must hold a list of patch names"),
        ("test_list.pkl", [], "test_list in .* names no patch"),
        ("test_list_cloudy.pkl", 3, "must hold a list of patch names, got int"),
        ("test_list.pkl", ["a.tif"], "test_list.pkl: 'a.tif' is not the name"),
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

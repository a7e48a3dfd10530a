"""Cloudy twins and the estimate of cloud cover."""

import json

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from rfp_jax.datasets.sen12ms import (
    Sen12MS,
    Sen12MSConfig,
    cloud_cover,
    cloud_score,
)
from rfp_jax.datasets.sen12ms._scenery import clouded, scene
from tests.datasets.sen12ms.archives import archive


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

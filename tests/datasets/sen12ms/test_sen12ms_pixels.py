"""Land cover and cloud masks of single pixels, against plain rasterio and numpy."""

import numpy as np
import pytest
import rasterio

from rfp_jax.datasets.sen12ms import (
    CLASSES,
    Packed,
    PatchError,
    Sen12MS,
    Sen12MSConfig,
    cloud_mask,
    cloud_score,
    pack,
)
from tests.datasets.sen12ms.archives import SIZE, archive, first_twin, truncate, write_tif

PIXELS = Sen12MSConfig(land_cover=True, cloud_mask=True, cloud_fraction=1.0)


def test_classes_and_masks_equal_plain_rasterio(root):
    patches = archive(root)
    index = first_twin(patches)
    with rasterio.open(patches.file(index, "lc")) as file:
        igbp = file.read(1).astype(int)
    with rasterio.open(patches.file(index, "s2_cloudy")) as file:
        score = cloud_score(file.read().transpose(1, 2, 0))
    ten = Sen12MS(patches, PIXELS)[index]
    forest = np.isin(igbp, [1, 2, 3, 4, 5])
    croplands = np.isin(igbp, [12, 14])
    np.testing.assert_array_equal(ten["land_cover"] == CLASSES[10].index("Forest"), forest)
    np.testing.assert_array_equal(ten["land_cover"] == CLASSES[10].index("Croplands"), croplands)
    np.testing.assert_array_equal(ten["cloud_mask"], score >= 0.2)
    assert ten["land_cover"].dtype == np.int32
    seventeen = Sen12MS(patches, Sen12MSConfig(land_cover=True, classes=17))[index]
    np.testing.assert_array_equal(seventeen["land_cover"], igbp - 1)
    assert "cloud_mask" not in seventeen
    assert "land_cover" not in Sen12MS(patches)[index]


def test_the_published_format_is_read(copy):
    """Four schemes, MODIS pixels of 500 m, 255 where nothing is known."""
    patches = archive(copy)
    igbp = np.kron(np.array([[17, 255], [0, 1]]), np.ones((SIZE // 2, SIZE // 2), int))
    others = np.full((3, SIZE, SIZE), 3)
    write_tif(patches.file(0, "lc"), np.stack([igbp, *others]).astype(np.uint16))
    found = Sen12MS(patches, Sen12MSConfig(land_cover=True))[0]["land_cover"]
    water, forest, half = 9, 0, SIZE // 2
    np.testing.assert_array_equal(found[:half, :half], water)
    np.testing.assert_array_equal(found[half:, half:], forest)
    assert (found[:half, half:] == -1).all()
    assert (found[half:, :half] == -1).all()


def test_a_clear_image_has_another_mask_than_its_cloudy_twin(root):
    patches = archive(root)
    index = first_twin(patches)
    clear, cloudy = (patches.cloud_mask(index, cloudy=each) for each in (False, True))
    assert cloudy.mean() > clear.mean()
    np.testing.assert_array_equal(cloud_mask(np.full((9, 9, 13), 5000.0)), True)


def test_damaged_land_cover_and_packs_are_refused(copy, tmp_path):
    patches = archive(copy)
    pack(patches, tmp_path / "packed")
    with pytest.raises(ValueError, match=r"holds no land cover .* read the archive"):
        Sen12MS(Packed(tmp_path / "packed" / "test"), Sen12MSConfig(land_cover=True))
    truncate(patches.file(0, "lc"))
    data = Sen12MS(patches, Sen12MSConfig(land_cover=True))
    with pytest.raises(PatchError, match="_lc_"):
        data[0]
    patches.file(1, "lc").unlink()
    with pytest.raises(PatchError, match="is missing"):
        data[1]
    write_tif(patches.file(2, "lc"), np.ones((1, SIZE, SIZE), np.uint16))
    with pytest.raises(PatchError, match="expected 4 bands, got 1"):
        data[2]

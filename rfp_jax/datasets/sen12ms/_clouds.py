"""Measure how much of a Sentinel-2 image is under clouds.

The estimator is the cloud score that was used with SEN12MS-CR: a pixel is a cloud until a band
proves otherwise. Each criterion maps a brightness to a score, 0 at its lower end and 1 at its
upper; the smallest counts. Cloud shadows and haze so thin that the ground shows are not clouds.

Sources: Meraner, Ebel, Zhu & Schmitt, "Cloud removal in Sentinel-2 imagery using a deep residual
neural network and SAR-optical data fusion", ISPRS Journal 166, 2020; after Schmitt, Hughes, Qiu &
Zhu, "Aggregating cloud-free Sentinel-2 images with Google Earth Engine", ISPRS Annals IV-2/W7,
2019.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from rfp_jax._util import shapes

THRESHOLD = 0.2
"""A pixel whose score is at least this is under a cloud (Meraner et al. 2020)."""


def cloud_score(
    image: shapes.Shaped[np.ndarray, "height width bands"],
) -> shapes.Float[np.ndarray, "height width"]:
    """Score how much each pixel looks like a cloud.

    Args:
        image: digital numbers (reflectance times 10,000) of all 13 bands, [height, width, 13].

    Returns:
        Score, float32 [height, width], 0 (clear) to 1.

    Raises:
        ValueError: if it has not 13 bands.

    Examples:
        >>> float(cloud_score(np.full((16, 16, 13), 5000.0))[8, 8])
        1.0
    """
    if image.ndim != 3 or image.shape[-1] != 13:
        raise ValueError(f"expected all 13 bands, [height, width, 13], got shape {image.shape}")
    aerosol, blue, green, red, cirrus, swir = (
        image[..., band].astype(np.float32) / 10_000 for band in (0, 1, 2, 3, 10, 11)
    )
    total = green + swir
    snow = np.divide(green - swir, total, out=np.zeros_like(total), where=total != 0)
    criteria = (
        _between(blue, 0.1, 0.5),  # clouds are bright in blue,
        _between(aerosol, 0.1, 0.3),  # in the aerosol band,
        _between(aerosol + cirrus, 0.15, 0.2),
        _between(red + green + blue, 0.2, 0.8),  # and in all that is visible;
        _between(snow, 0.8, 0.6),  # but they are not snow
    )
    score = np.minimum.reduce(criteria).clip(0, 1)
    closed = ndimage.grey_closing(score, size=(5, 5))
    return ndimage.uniform_filter(closed, size=7, mode="nearest").clip(0, 1)


def cloud_mask(
    image: shapes.Shaped[np.ndarray, "height width bands"],
) -> shapes.Bool[np.ndarray, "height width"]:
    """Estimate which pixels are under clouds: those whose score is at least 0.2.

    Args:
        image: digital numbers of all 13 bands, [height, width, 13].

    Returns:
        Bool, [height, width].

    Raises:
        ValueError: if it has not 13 bands.

    Examples:
        >>> half = np.concatenate([np.full((8, 16, 13), 5000.0), np.full((8, 16, 13), 500.0)])
        >>> cloud_mask(half)[[2, 13], 8].tolist()
        [True, False]
    """
    return cloud_score(image) >= THRESHOLD


def cloud_cover(image: shapes.Shaped[np.ndarray, "height width bands"]) -> float:
    """Estimate which fraction of an image is under clouds.

    Args:
        image: digital numbers of all 13 bands, [height, width, 13].

    Returns:
        0 to 1.

    Raises:
        ValueError: if it has not 13 bands.

    Examples:
        >>> cloud_cover(np.full((16, 16, 13), 5000.0)), cloud_cover(np.full((16, 16, 13), 500.0))
        (1.0, 0.0)
    """
    return float(cloud_mask(image).mean())


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 at `low`, 1 at `high`."""
    return (values - low) / np.float32(high - low)

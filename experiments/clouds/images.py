"""A real Sentinel-2 image, and the same image with clouds painted on it."""

from importlib import import_module
from typing import NamedTuple

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.datasets.sen12ms._scenery import CLOUD, fractal

BANDS = ("blue", "green", "red", "nir")
"""The bands of the image, B02, B03, B04 and B08 of Sentinel-2, 10 m."""

IN_CLOUD = (1, 2, 3, 7)
"""The indices of these among the 13 bands of `CLOUD`."""

REAL = "real image"
PAINTED = "real image, painted clouds"


class Image(NamedTuple):
    """An image, and what was painted on it.

    Attributes:
        name: what is real and what is painted.
        reflectance: float32 [y, x, band], the bands `BANDS`.
        opacity: of the painted clouds, from 0 to 1, [y, x].
        shadow: how much light the painted shadows take, from 0 to 1, [y, x].
    """

    name: str
    reflectance: np.ndarray
    opacity: np.ndarray
    shadow: np.ndarray


def real_image() -> Image:
    """Read the Sentinel-2 image that `spyndex` ships, 300 x 300 pixels; it has no georeference.

    Returns:
        The image, with nothing painted on it.

    Raises:
        MissingExtraError: if spyndex is not installed.
    """
    with needs_extra("A real Sentinel-2 image", "clouds"):
        spyndex = import_module("spyndex")
    digital = np.asarray(spyndex.datasets.open("sentinel").values)
    reflectance = np.moveaxis(digital, 0, -1).astype(np.float32) / 10_000
    nothing = np.zeros(reflectance.shape[:2], np.float32)
    return Image(REAL, reflectance, nothing, nothing)


def paint_clouds(image: Image, seed: int, *, cover: float = 0.3) -> Image:
    """Paint clouds and their shadows on an image.

    A cloud of opacity `o` over ground `g` that a shadow takes `s` of the light of is seen as
    `o cloud + (1 - o)(1 - s) g`. Opacity falls to 0 at the edges; shadows are clouds, displaced.

    Args:
        image: what to paint on.
        seed: of the clouds.
        cover: which fraction of the image is under clouds.

    Returns:
        The image under clouds.
    """
    rng = np.random.default_rng(seed)
    rows, columns = image.reflectance.shape[:2]
    size = max(rows, columns)
    height = fractal(rng, size, corner=2, slope=4.5)[:rows, :columns]
    depth = (height - np.quantile(height, 1 - cover)).clip(0)
    opacity = (1 - np.exp(-4 * depth)).astype(np.float32)
    apart = round(size / 12)
    displaced = np.zeros_like(opacity)
    displaced[apart:, apart:] = opacity[:-apart, :-apart]
    shadow = 0.6 * displaced
    # smooth: of grainy tops the networks say that they are background
    tops = 0.92 + 0.08 * fractal(rng, size, corner=4, slope=4.5)[:rows, :columns].clip(-2, 1)
    bright = tops[..., None] * CLOUD[list(IN_CLOUD)] / 10_000
    ground = image.reflectance * (1 - shadow[..., None])
    seen = ground + (bright - ground) * opacity[..., None]
    return Image(PAINTED, seen.astype(np.float32), opacity, shadow)

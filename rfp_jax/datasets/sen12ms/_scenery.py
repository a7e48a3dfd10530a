"""Synthetic patches: land cover, spectra with texture, backscatter with speckle, clouds.

Nothing here was measured. Spectra and backscatter are plausible numbers for each IGBP class, chosen
by hand so that both sensors tell classes apart, the optical one better.
"""

from typing import NamedTuple

import numpy as np

SPECTRA = np.array(
    [  # B1    B2    B3    B4    B5    B6    B7    B8   B8A    B9  B10   B11   B12
        [1250, 950, 720, 480, 750, 1600, 1950, 1900, 2100, 700, 15, 1000, 480],
        [1270, 980, 800, 480, 850, 2300, 2900, 2800, 3100, 950, 15, 1450, 620],
        [1260, 960, 760, 520, 850, 1800, 2150, 2100, 2350, 750, 15, 1250, 620],
        [1270, 980, 830, 520, 950, 2500, 3200, 3050, 3400, 1000, 15, 1650, 780],
        [1260, 960, 770, 500, 850, 2000, 2500, 2400, 2650, 850, 15, 1300, 620],
        [1300, 1050, 930, 850, 1250, 1900, 2150, 2150, 2400, 800, 15, 2000, 1200],
        [1400, 1250, 1300, 1500, 1850, 2150, 2350, 2400, 2600, 850, 15, 3000, 2200],
        [1270, 1000, 900, 750, 1200, 2150, 2500, 2450, 2700, 900, 15, 1950, 1050],
        [1300, 1080, 1020, 950, 1400, 2150, 2450, 2450, 2700, 900, 15, 2350, 1400],
        [1330, 1120, 1150, 1100, 1600, 2400, 2700, 2700, 2950, 950, 15, 2700, 1650],
        [1260, 980, 850, 650, 950, 1500, 1700, 1650, 1800, 550, 12, 1050, 550],
        [1320, 1120, 1150, 1050, 1550, 2700, 3200, 3100, 3400, 1100, 15, 2200, 1300],
        [1450, 1350, 1380, 1450, 1650, 1950, 2100, 2150, 2250, 800, 15, 2150, 1850],
        [1300, 1080, 1060, 950, 1450, 2500, 2950, 2850, 3150, 1000, 15, 2100, 1200],
        [7500, 7700, 7600, 7500, 7400, 7200, 7000, 6900, 6600, 3000, 40, 600, 500],
        [1480, 1450, 1950, 2700, 2950, 3100, 3250, 3250, 3400, 1200, 15, 4200, 3700],
        [1350, 1050, 750, 480, 420, 380, 360, 330, 300, 120, 8, 150, 100],
    ],
    np.float32,
)
"""Reflectance times 10,000 of the 17 IGBP classes, [17, 13]."""

BACKSCATTER = np.array(
    [
        *([-8.6, -14.6], [-7.9, -13.6], [-9.0, -15.0], [-8.3, -14.0], [-8.5, -14.3]),
        *([-10.6, -17.0], [-13.2, -20.2], [-10.0, -16.2], [-11.2, -17.8], [-12.4, -19.4]),
        *([-13.0, -21.5], [-10.4, -17.6], [-4.8, -12.0], [-10.0, -16.8], [-15.0, -21.0]),
        *([-16.5, -24.0], [-20.5, -24.8]),
    ],
    np.float32,
)
"""VV and VH in dB of the 17 IGBP classes, [17, 2]."""

CLOUD = np.array(
    [7800, 7700, 7500, 7500, 7600, 7700, 7700, 7600, 7600, 4200, 300, 4600, 3600], np.float32
)
"""Reflectance times 10,000 of an opaque cloud, [13]."""

TEXTURE = np.array([0.09, 0.14, 0.18, 0.32, 0.10], np.float32)
"""The variation of brightness: most classes, grassland and savanna, wetland, urban, water."""

LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 ground range products: how strong speckle is."""

CONDITIONS = 3.0
"""Standard deviation in dB, from patch to patch, of what changes backscatter beside land cover.

It makes radar the poorer source, as it is for land cover, so that a network has reason to look at
the optical image where that is clear.
"""

OPACITY = 0.1
"""A pixel whose cloud is at least this opaque counts as cloudy in the true cloud cover."""

CROPS, URBAN, WETLAND, WATER = 11, 12, 10, 16
_ROUGHNESS = np.array([0] * 8 + [1, 1, 2, 0, 3, 0, 0, 0, 4])


class Scene(NamedTuple):
    """A patch without clouds.

    Attributes:
        cover: the IGBP class of each pixel from 0 on, uint8 [size, size].
        s2: digital numbers, uint16 [13, size, size].
        s1: VV and VH in dB, float32 [2, size, size].
    """

    cover: np.ndarray
    s2: np.ndarray
    s1: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """Shares of the 17 classes, float64 [17]."""
        return np.bincount(self.cover.ravel(), minlength=17) / self.cover.size


class Clouded(NamedTuple):
    """A patch under clouds.

    Attributes:
        s2: digital numbers, uint16 [13, size, size].
        cover: which fraction of the pixels is under a cloud of at least `OPACITY`.
    """

    s2: np.ndarray
    cover: float


def scene(rng: np.random.Generator, dominant: int, size: int) -> Scene:
    """Draw a patch.

    Args:
        rng: random numbers.
        dominant: the IGBP class that covers most of it, 0 to 16.
        size: height and width in pixels.

    Returns:
        The patch.
    """
    cover = _land_cover(rng, dominant, size)
    fields = _fields(rng, size)
    return Scene(cover, _optical(rng, cover, fields), _radar(rng, cover, fields))


def clouded(rng: np.random.Generator, clear: np.ndarray, wanted: float) -> Clouded:
    """Put clouds over a patch: semi-transparent at their edges, with shadows beside them.

    Args:
        rng: random numbers.
        clear: digital numbers, [13, size, size].
        wanted: about which fraction of it shall be under clouds, 0 to 1.

    Returns:
        The patch under clouds.
    """
    size = clear.shape[-1]
    height = fractal(rng, size, corner=1.5, slope=4.5)
    depth = height - np.quantile(height, 1 - wanted)
    opacity = 1 - np.exp(-rng.uniform(1.2, 4) * (depth + 0.04).clip(0))
    apart = rng.uniform(0.06, 0.16, 2) * size * rng.choice([-1, 1], 2)
    shadow = np.roll(opacity, tuple(apart.astype(int)), (0, 1)) * rng.uniform(0.4, 0.65)
    tops = fractal(rng, size, corner=4, slope=2).clip(-2, 1)
    bright = CLOUD[:, None, None] * (0.92 + 0.08 * tops)
    ground = clear * (1 - shadow)
    return Clouded(
        s2=_digital(ground * (1 - opacity) + bright * opacity),
        cover=float((opacity >= OPACITY).mean()),
    )


def fractal(rng: np.random.Generator, size: int, *, corner: float, slope: float) -> np.ndarray:
    """Random texture whose power falls with frequency: a fractal surface.

    Args:
        rng: random numbers.
        size: height and width.
        corner: cycles over the whole width up to which the spectrum is flat.
        slope: how fast power falls beyond: the greater, the smoother.

    Returns:
        Float32, [size, size], mean 0 and standard deviation 1.
    """
    white = np.fft.rfft2(rng.standard_normal((size, size), np.float32))
    down, across = np.fft.fftfreq(size, 1 / size), np.fft.rfftfreq(size, 1 / size)
    squared = (down**2)[:, None] + (across**2)[None]
    surface = np.fft.irfft2(white * (squared + corner**2) ** (-slope / 4), s=(size, size))
    surface -= surface.mean()
    return (surface / surface.std()).astype(np.float32)


def _land_cover(rng: np.random.Generator, dominant: int, size: int) -> np.ndarray:
    """One class on most of the patch, one or two others in blobs."""
    others = rng.choice(np.delete(np.arange(17), dominant), 2, replace=False)
    rest = rng.uniform(0, 0.42)
    first, second = (fractal(rng, size, corner=1.5, slope=3.5) for _ in range(2))
    cover = np.where(first < np.quantile(first, rest), others[0], dominant)
    small = second < np.quantile(second, 0.3 * rest)
    return np.where(small, others[1], cover).astype(np.uint8)


def _fields(rng: np.random.Generator, size: int) -> np.ndarray:
    """Parcels of land in a turned grid, each with one value, mean 0 and standard deviation 1."""
    angle, width, length = rng.uniform(0, np.pi), rng.uniform(8, 14), rng.uniform(14, 26)
    y, x = np.mgrid[:size, :size]
    across = ((x * np.cos(angle) + y * np.sin(angle)) // width).astype(int)
    along = ((y * np.cos(angle) - x * np.sin(angle)) // length).astype(int)
    values = rng.standard_normal((64, 64), np.float32)
    return values[across % 64, along % 64]


def _optical(rng: np.random.Generator, cover: np.ndarray, fields: np.ndarray) -> np.ndarray:
    size = len(cover)
    texture = fractal(rng, size, corner=3, slope=2.2)
    fine = fractal(rng, size, corner=size / 6, slope=1.5)
    rough = TEXTURE[_ROUGHNESS[cover]]
    bright = 1 + rough * np.where(cover == URBAN, fine, texture)
    image = SPECTRA[cover].transpose(2, 0, 1) * bright.clip(0.3)
    # fields lie between green and bare: visible and short-wave infrared up, near infrared down
    sign = np.where((SPECTRA[CROPS] > 2600), -0.22, 0.22).astype(np.float32)
    image *= 1 + np.where(cover == CROPS, fields.clip(-2, 2), 0)[None] * sign[:, None, None]
    light = rng.normal(1, 0.07) * rng.normal(1, 0.02, 13).astype(np.float32)
    noise = rng.standard_normal((13, size, size), np.float32) * 25
    return _digital(image * light[:, None, None].astype(np.float32) + noise)


def _radar(rng: np.random.Generator, cover: np.ndarray, fields: np.ndarray) -> np.ndarray:
    size = len(cover)
    image = BACKSCATTER[cover].transpose(2, 0, 1)
    texture = fractal(rng, size, corner=3, slope=2)
    image += np.where(cover == WATER, 0.3, 0.8) * texture
    image += np.where(cover == CROPS, 1.6 * fields, 0)
    image += np.where(cover == WETLAND, 1.8 * np.sign(texture), 0)
    houses = (cover == URBAN) & (fractal(rng, size, corner=size / 4, slope=1) > 1.3)
    image += np.where(houses, 6.0, 0)
    # incidence angle, moisture, wind: the same all over a patch
    image += (rng.normal(0, CONDITIONS) + rng.normal(0, CONDITIONS / 2, 2))[:, None, None]
    speckle = rng.gamma(LOOKS, 1 / LOOKS, (2, size, size))
    return (image + 10 * np.log10(speckle)).astype(np.float32)


def _digital(image: np.ndarray) -> np.ndarray:
    return image.clip(0, 65535).astype(np.uint16)

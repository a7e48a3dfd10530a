"""Normalization of the published networks: `(x - mean) / std`, channel by channel.

Optical bands are raw digital numbers, SAR is in dB. The statistics are those published with the
networks: Schmitt & Wu, "Remote sensing image classification with the SEN12MS dataset", ISPRS
Annals V-2-2021, and their code.
"""

from __future__ import annotations

import numpy as np

from rfp_jax._util import shapes

S2_MEAN = np.array(
    [
        *(1226.4215, 1137.3799, 1139.6792, 1350.9973, 1932.9058),
        *(2211.1584, 2154.9846, 2409.1128, 2001.8622, 1356.0801),
    ],
    np.float32,
)
S2_STD = np.array(
    [
        *(741.6254, 740.883, 960.1045, 946.76056, 985.52747),
        *(1082.4341, 1057.7628, 1136.1942, 1132.7898, 991.48016),
    ],
    np.float32,
)
S1_MEAN = np.array([-11.76858, -18.294598], np.float32)
S1_STD = np.array([4.525339, 4.3586307], np.float32)


def normalize_s2(
    image: shapes.Shaped[np.ndarray, "*pixels bands"],
) -> shapes.Float[np.ndarray, "*pixels bands"]:
    """Normalize optical bands.

    Args:
        image: digital numbers, [..., 10], the bands `S2_BANDS`; or [..., 3], `RGB_BANDS`.

    Returns:
        Float32 of the same shape.

    Raises:
        ValueError: if there are neither 10 nor 3 bands.

    Examples:
        >>> normalize_s2(S2_MEAN + S2_STD).round(3).tolist()[:2]
        [1.0, 1.0]
    """
    bands = image.shape[-1]
    if bands not in (3, 10):
        raise ValueError(f"expected 10 optical bands, or blue, green and red, got {bands}")
    return (image - S2_MEAN[:bands]) / S2_STD[:bands]


def denormalize_s2(
    image: shapes.Shaped[np.ndarray, "*pixels bands"],
) -> shapes.Float[np.ndarray, "*pixels bands"]:
    """Turn normalized optical bands back into digital numbers, for pictures.

    Args:
        image: [..., 10] or [..., 3].

    Returns:
        Float32 of the same shape.
    """
    bands = image.shape[-1]
    return image * S2_STD[:bands] + S2_MEAN[:bands]


def normalize_s1(
    image: shapes.Shaped[np.ndarray, "*pixels 2"],
) -> shapes.Float[np.ndarray, "*pixels 2"]:
    """Normalize backscatter.

    Args:
        image: dB, [..., 2], VV and VH.

    Returns:
        Float32 of the same shape.
    """
    return (image - S1_MEAN) / S1_STD

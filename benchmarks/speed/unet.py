"""A U-Net of several images, joined: an output for each class at every pixel."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

CLASSES, WIDTH, DEPTH = 6, 16, 3


def kernels(bands: int) -> list[jax.Array]:
    """Random weights of the U-Net: two convolutions at each depth down and up, and a head."""
    draw, shapes, wide = np.random.default_rng(0), [], bands
    for depth in range(DEPTH + 1):
        own = WIDTH << depth
        shapes += [(3, 3, wide, own), (3, 3, own, own)]
        wide = own
    for depth in reversed(range(DEPTH)):
        own = WIDTH << depth
        shapes += [(3, 3, wide + own, own), (3, 3, own, own)]
        wide = own
    shapes.append((1, 1, wide, CLASSES))
    scale = [np.sqrt(2 / np.prod(shape[:3])) for shape in shapes]
    return [
        jnp.asarray(draw.normal(size=s) * c, jnp.float32)
        for s, c in zip(shapes, scale, strict=True)
    ]


def unet(params: Sequence[jax.Array], *sources: jax.Array) -> jax.Array:
    """The U-Net, [batch, y, x, band] to [batch, y, x, class]."""
    left = iter(params)
    x, skips = jnp.concatenate(sources, -1), []

    def conv(x: jax.Array) -> jax.Array:
        dims = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, next(left), (1, 1), "SAME", dimension_numbers=dims)

    for depth in range(DEPTH + 1):
        if depth:
            skips.append(x)
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = jax.nn.relu(conv(jax.nn.relu(conv(x))))
    for skip in reversed(skips):
        x = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
        x = jax.nn.relu(conv(jax.nn.relu(conv(jnp.concatenate([x, skip], -1)))))
    return conv(x)

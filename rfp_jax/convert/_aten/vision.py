"""Images sampled on grids: spatial transformers, warping, flow."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from rfp_jax.convert._aten.broadcast import Operation
from rfp_jax.convert._grid_sample import grid_sample

_MODES = ("linear", "nearest", "cubic")
_PADDINGS = ("zeros", "border", "reflection")


def grid_sampler(
    x: jax.Array, grid: jax.Array, mode: int, padding: int, align_corners: bool
) -> jax.Array:
    """Values of images [sample, channel, ...] at places [sample, ..., axis] from -1 to 1."""
    return grid_sample(
        x,
        grid,
        mode=_MODES[mode],
        padding_mode=_PADDINGS[padding],
        align_corners=int(align_corners),
    )


def affine_grid(theta: jax.Array, size: Sequence[int], align_corners: bool) -> jax.Array:
    """`theta (x, y, 1)` at every pixel's place: [sample, ..., axis] for images of a size.

    Args:
        theta: [sample, axes, axes + 1].
        size: [sample, channel, ...].
        align_corners: whether -1 and 1 are the centers of the outermost pixels, or their edges.
    """
    spatial = size[2:]
    ends = [1.0 if align_corners else (n - 1) / n for n in spatial]
    ends = [end if n > 1 else 0.0 for end, n in zip(ends, spatial, strict=True)]
    places = [
        jnp.linspace(-end, end, n, dtype=theta.dtype) for end, n in zip(ends, spatial, strict=True)
    ]
    grid = jnp.meshgrid(*places, indexing="ij")[::-1]  # the last axis is x
    base = jnp.stack([*grid, jnp.ones_like(grid[0])], -1)
    return jnp.einsum("...j,nij->n...i", base, theta)


TABLE: dict[str, Operation] = {
    **dict.fromkeys("grid_sampler grid_sampler_2d grid_sampler_3d".split(), grid_sampler),
    "affine_grid_generator": affine_grid,
}

"""Operands of unequal rank, as PyTorch broadcasts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util.trees import Given

Operation = Callable[..., Given]


def align(*operands: Given) -> list[Given]:
    """Give all arrays the rank of the greatest one, by leading axes of size 1; numbers stay."""
    rank = max((np.ndim(x) for x in operands), default=0)

    def raised(x: Given) -> Given:
        return jnp.reshape(x, (1,) * (rank - np.ndim(x)) + np.shape(x)) if np.ndim(x) else x

    return [raised(x) for x in operands]


def broadcast(f: Operation) -> Operation:
    """Make `f` of arrays of one rank an operation of operands of any ranks.

    Examples:
        >>> broadcast(jnp.add)(jnp.ones((2, 3)), jnp.ones(3)).shape
        (2, 3)
    """
    return lambda *operands: f(*align(*operands))


def along(axis: int, vector: jax.Array, rank: int) -> jax.Array:
    """Let a vector stand along one axis of arrays of this rank."""
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


def axes(dims: int | Sequence[int] | None) -> int | tuple[int, ...] | None:
    """Axes as NumPy takes them; an empty list of PyTorch means all."""
    return dims if dims is None or isinstance(dims, int) else (tuple(dims) or None)

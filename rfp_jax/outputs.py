"""Which outputs to explain: one a sample, all of them, or any weighting of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

Outputs = Any
"""`"argmax"`, `"all"`, an integer, an integer array with one index a sample, or a cotangent."""


def cotangent(outputs: Outputs, output: Any) -> Any:
    """The weights of the chosen outputs: what `Mᵀ` is applied to.

    Args:
        outputs: `"argmax"`: each sample's greatest output, along the last axis; an integer, or an
            integer array of shape `output.shape[:-1]`: that index along the last axis; or weights,
            floating-point and shaped like the output (a tree if the output is one).
        output: the function's output, an array of shape [..., K] or a tree of arrays.

    Returns:
        Weights shaped like `output`.

    Raises:
        TypeError, ValueError: if `outputs` is none of these; the message says what to pass.

    Examples:
        >>> import jax.numpy as jnp
        >>> cotangent("argmax", jnp.array([[1.0, 5.0, 2.0]]))
        Array([[0., 1., 0.]], dtype=float32)
    """
    if jax.tree.structure(outputs) == jax.tree.structure(output) and _are_weights(outputs, output):
        return jax.tree.map(lambda w, y: jnp.asarray(w, y.dtype), outputs, output)
    y = _single(output)
    if isinstance(outputs, str):
        if outputs != "argmax":
            raise ValueError(
                f"outputs={outputs!r} is not known; pass 'argmax', 'all', an index, an integer "
                f"array of shape {list(y.shape[:-1])}, or weights of shape {list(y.shape)}"
            )
        chosen = jnp.argmax(y, axis=-1) if y.ndim else 0
    else:
        chosen = outputs
    kind = jnp.result_type(chosen) if isinstance(chosen, int | np.ndarray | jax.Array) else None
    if kind is None or not jnp.issubdtype(kind, jnp.integer):
        raise TypeError(
            f"outputs={outputs!r} must be 'argmax', 'all', an integer, an integer array, or "
            f"weights shaped like the output {list(y.shape)}"
        )
    if y.ndim == 0:  # there is one output to choose
        return jax.tree.map(jnp.ones_like, output)
    if jnp.ndim(chosen) and jnp.shape(chosen) != y.shape[:-1]:
        raise ValueError(
            f"outputs= has shape {list(jnp.shape(chosen))}; one index a sample has shape "
            f"{list(y.shape[:-1])}, the output's {list(y.shape)} without its last axis"
        )
    _check_range(chosen, y.shape[-1])
    one_hot = jax.nn.one_hot(chosen, y.shape[-1], dtype=y.dtype)
    return jax.tree.map(lambda y: jnp.broadcast_to(one_hot, y.shape), output)


def is_all(outputs: Outputs) -> bool:
    """Whether every output is asked for."""
    return isinstance(outputs, str) and outputs == "all"


def weighted(weights: jax.Array, values: jax.Array) -> jax.Array:
    """The chosen outputs: summed over the last axis; what is not chosen may be no number."""
    weights = jnp.broadcast_to(weights, values.shape)
    chosen = jnp.where(weights == 0, jnp.zeros_like(values), weights * values)
    return chosen.sum(-1) if weights.ndim else chosen


def classes(output: Any) -> int:
    """How many outputs a sample has: the length of the last axis, 1 for a scalar."""
    y = _single(output)
    return y.shape[-1] if y.ndim else 1


def _single(output: Any) -> jax.Array:
    """The only array of an output."""
    leaves = jax.tree.leaves(output)
    if len(leaves) != 1:
        raise ValueError(
            f"the output is a tree of {len(leaves)} arrays: pass outputs= as a like tree of weights"
        )
    return leaves[0]


def _are_weights(outputs: Any, output: Any) -> bool:
    """Whether `outputs` are floating-point numbers of the output's shapes."""

    def is_weight(w: Any, y: jax.Array) -> bool:
        if not isinstance(w, float | np.ndarray | np.generic | jax.Array):
            return False
        return jnp.shape(w) == y.shape and jnp.issubdtype(jnp.result_type(w), jnp.inexact)

    return all(jax.tree.leaves(jax.tree.map(is_weight, outputs, output)))


def _check_range(chosen: Any, count: int) -> None:
    """Refuse an index past the end, where it is known before the program runs."""
    if isinstance(chosen, Tracer):
        return
    values = np.asarray(chosen)
    if values.size and (values.min() < 0 or values.max() >= count):
        raise ValueError(f"outputs= holds an index outside 0 to {count - 1}: {values}")

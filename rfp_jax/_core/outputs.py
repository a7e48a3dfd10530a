"""Choose the outputs to explain: one per sample, all of them, or any weighting of them."""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._core.signatures import (
    asarray,
    is_array,
    is_arraylike,
    ones_like,
    structure,
    zeros_like,
)
from rfp_jax._util import shapes
from rfp_jax._util.trees import Given, Tree, is_traced

Outputs: TypeAlias = Any
"""`"argmax"`, `"all"`, an integer, an integer array with one index per sample, or weights.

Any: weights may be a tree.
"""


def cotangent(outputs: Outputs, output: Tree, ignore_index: int | None = None) -> Tree:
    """Return the weights of the chosen outputs: what the transposed network is applied to.

    Args:
        outputs: `"argmax"`: each sample's greatest output, along the last axis; an integer, or an
            integer array of shape `output.shape[:-1]`: that index along the last axis; or weights,
            floating-point or boolean, shaped like the output (a tree if the output is one) or like
            its last axis.
        output: the function's output, an array of shape [..., K] or a tree of arrays.
        ignore_index: samples with this index have weight 0, as those of a label that says "none".

    Returns:
        Weights shaped like `output`.

    Raises:
        TypeError, ValueError: `outputs` or `ignore_index` is none of these; the message says what
            to pass.

    Examples:
        >>> import jax.numpy as jnp
        >>> cotangent("argmax", jnp.array([[1.0, 5.0, 2.0]]))
        Array([[0., 1., 0.]], dtype=float32)
        >>> cotangent(jnp.array([2, 255]), jnp.zeros((2, 3)), ignore_index=255)
        Array([[0., 0., 1.],
               [0., 0., 0.]], dtype=float32)
    """
    try:
        ignore_index = None if ignore_index is None else operator.index(ignore_index)
    except TypeError as error:
        raise TypeError(
            f"ignore_index={ignore_index!r} must be an integer, such as 255, or None"
        ) from error
    if structure(outputs) == structure(output) and _are_weights(outputs, output):
        return jax.tree.map(_spread, outputs, output)
    y = _single(output)
    if isinstance(outputs, str):
        if outputs != "argmax":
            raise ValueError(
                f"outputs={outputs!r} is not known; pass 'argmax', 'all', an index, an integer "
                f"array of shape {list(y.shape[:-1])}, or weights of shape {list(y.shape)}"
            )
        chosen = jnp.argmax(y.real, axis=-1) if y.ndim else 0
    else:
        chosen = outputs
    is_number = isinstance(chosen, int | np.integer | np.ndarray | jax.Array)
    kind = jnp.result_type(chosen) if is_number else None
    if kind is None or not jnp.issubdtype(kind, jnp.integer):
        raise TypeError(
            f"outputs={_told(outputs)} must be 'argmax', 'all', an integer, an integer array of "
            f"shape {list(y.shape[:-1])}, or weights shaped like the output {list(y.shape)} or its "
            f"last axis"
        )
    if y.ndim == 0:  # there is one output to choose
        return jax.tree.map(ones_like, output)
    if jnp.ndim(chosen) and jnp.shape(chosen) != y.shape[:-1]:
        raise ValueError(
            f"outputs= has shape {list(jnp.shape(chosen))}; one index per sample has shape "
            f"{list(y.shape[:-1])}, the output's {list(y.shape)} without its last axis"
        )
    _check_range(chosen, y.shape[-1], ignore_index)
    if ignore_index is not None:
        chosen = jnp.where(asarray(chosen) == ignore_index, -1, asarray(chosen, int))
    one_hot = jax.nn.one_hot(chosen, y.shape[-1], dtype=y.dtype)
    return structure(output).unflatten([jnp.broadcast_to(one_hot, y.shape)])


def _spread(weights: Given, y: jax.Array) -> jax.Array:
    return jnp.broadcast_to(asarray(weights, y.dtype), y.shape)


def _told(outputs: object) -> str:
    if is_array(outputs):
        return f"{outputs.dtype}{list(outputs.shape)}"
    return repr(outputs)


def is_all(outputs: Outputs) -> bool:
    """Return whether every output is asked for."""
    return isinstance(outputs, str) and outputs == "all"


def weighted(
    weights: shapes.Inexact[jax.Array, "*#outputs"], values: shapes.Inexact[jax.Array, "*outputs"]
) -> shapes.Inexact[jax.Array, "..."]:
    """Return the chosen outputs: summed over the last axis; what is not chosen may be no number."""
    weights = jnp.broadcast_to(weights, values.shape)
    chosen = jnp.where(weights == 0, zeros_like(values), weights * values)
    return chosen.sum(-1) if weights.ndim else chosen


def classes(output: Tree) -> int:
    """Return how many outputs a sample has: the length of the last axis, 1 for a scalar."""
    y = _single(output)
    return y.shape[-1] if y.ndim else 1


def _single(output: Tree) -> jax.Array:
    """Return the only array of an output."""
    leaves = jax.tree.leaves(output)
    if len(leaves) != 1:
        raise ValueError(
            f"the output is a tree of {len(leaves)} arrays: pass outputs= as a like tree of weights"
        )
    return leaves[0]


def _are_weights(outputs: Outputs, output: Tree) -> bool:
    """Return whether `outputs` are weights or masks, of the output's shapes or of their last axes.

    An array of integers chooses by index.
    """

    def is_weight(w: Given, y: jax.Array) -> bool:
        if not is_arraylike(w) or type(w) in (bool, int, complex):
            return False
        kind = jnp.result_type(w)
        if not (jnp.issubdtype(kind, jnp.inexact) or jnp.issubdtype(kind, jnp.bool_)):
            return False
        return jnp.shape(w) == y.shape or (y.ndim > 1 and jnp.shape(w) == y.shape[-1:])

    return all(jax.tree.leaves(jax.tree.map(is_weight, outputs, output)))


def _check_range(chosen: Given, count: int, ignore_index: int | None) -> None:
    """Refuse an index past the end, where it is known before the program runs."""
    if is_traced(chosen):
        return
    values = np.asarray(chosen)
    if ignore_index is not None:
        values = values[values != ignore_index]
    wrong = values[(values < 0) | (values >= count)]
    if wrong.size:
        raise ValueError(
            f"outputs= holds an index outside 0 to {count - 1}: {np.unique(wrong)[:5].tolist()}; "
            "if it stands for samples without a label, pass ignore_index="
        )

"""Relevance of every source for every output, in one forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rfp_jax.pair import Pair, Value, activation
from rfp_jax.propagate import Propagation
from rfp_jax.rules import Rules, resolve
from rfp_jax.trace import Argnums, trace


class Relevance(NamedTuple):
    """How much of an output came from which source: `output = bias + sum of sources`.

    A pytree, so it goes through `jax.jit`, `jax.vmap` and `jax.tree.map`.

    Attributes:
        output: what the function returned, the same values.
        sources: shaped like what `argnums` points to (a tuple for a tuple, a dict for a dict); each
            leaf is a source, replaced by its relevance, an array or tree shaped like `output`.
        bias: what came from no source (biases, shifts), shaped like `output`.
    """

    output: Any
    sources: Any
    bias: Any


def relevance(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    rules: str | Rules = "lrp0",
) -> Callable[..., Any]:
    """Transform `fun` into a function that tells how much of each output came from each source.

    All sources and all outputs are answered in one forward pass. The conventions are those of
    `jax.grad`; compose with `jax.jit`, `jax.vmap` and `jax.grad` as usual, and jit it for speed.

    Args:
        fun: the function to explain, for instance a Flax module's `apply`: pure, of arrays,
            returning an array or a tree of arrays.
        argnums: which positional arguments are sources, an int or a tuple of ints. A source may be
            a tree of floating-point arrays; every leaf is a source of its own.
        has_aux: whether `fun` returns `(output, aux)`, where `aux` is not explained.
        rules: the rules of propagation, a preset's name or `Rules`.

    Returns:
        A function of the same arguments that returns a `Relevance`, or `(Relevance, aux)`. Where
        the output is not finite, neither is its relevance: it is NaN.

    Raises:
        TypeError, ValueError: at the call, if `argnums`, the sources or the output are not of that
            kind; the message says what to pass.
        MissingRuleError: at the call, if an operation between a source and the output has no rule.

    Example:
        Two sources, one hidden unit, a bias of -8:

        >>> import jax, jax.numpy as jnp, rfp_jax
        >>> def model(params, left, right):
        ...     return jax.nn.relu(left * params["a"] + right * params["b"] - 8.0)
        >>> params = {"a": 1.0, "b": 3.0}
        >>> rel = jax.jit(rfp_jax.relevance(model, argnums=(1, 2)))(params, 24.0, 24.0)
        >>> float(rel.output), [float(r) for r in rel.sources], float(rel.bias)
        (88.0, [24.0, 72.0], -8.0)

    References:
        Gawlikowski & Gottschling, "Relevance Forward Propagation", BMVC 2024.
    """
    chosen_rules = resolve(rules)

    @functools.wraps(fun)
    def explained(*args: Any, **kwargs: Any) -> Any:
        call = trace(fun, argnums, args, kwargs, has_aux)
        count = len(call.leaves)
        pairs = [  # each source is, at first, all that there is of itself
            Pair(leaf, tuple(leaf if i == s else None for s in range(count)))
            for i, leaf in enumerate(call.leaves)
        ]
        results = Propagation(chosen_rules).run(call.jaxpr, call.consts, pairs)
        outputs = results[: call.output_tree.num_leaves]
        aux = map(activation, results[call.output_tree.num_leaves :])
        rows = [contributions(value, count) for value in outputs]
        each = [call.output_tree.unflatten(list(column)) for column in zip(*rows, strict=True)]
        output = [activation(value) for value in outputs]
        bias = [y - sum(row) for y, row in zip(output, rows, strict=True)]
        relevance = Relevance(
            output=call.output_tree.unflatten(output),
            sources=call.tree.unflatten(each),
            bias=call.output_tree.unflatten(bias),
        )
        return (relevance, call.aux_tree.unflatten(list(aux))) if has_aux else relevance

    return explained


def contributions(value: Value, count: int) -> list[jax.Array]:
    """What each of `count` sources contributed to an output; NaN where that is not finite."""
    output = activation(value)
    given = value.contributions if isinstance(value, Pair) else (None,) * count
    zero = jnp.zeros_like(output)
    filled = [zero if c is None else c for c in given]
    if not jnp.issubdtype(output.dtype, jnp.inexact):
        return filled
    return [jnp.where(jnp.isfinite(output), c, jnp.nan) for c in filled]

"""Relevance of every source for every output, in one forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from rfp_jax.argnums import Argnums
from rfp_jax.forward import Rows, one_after_another, side_by_side
from rfp_jax.heatmap import pullback
from rfp_jax.outputs import Outputs, cotangent, is_all, weighted
from rfp_jax.precision import check
from rfp_jax.propagate import Propagation
from rfp_jax.rules import Named, Rules, resolve
from rfp_jax.share import SharedBias
from rfp_jax.shares import walk
from rfp_jax.sources import Split, Splits, name, split_leaves
from rfp_jax.trace import Trace, has_while, trace


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
    split: Any = None,
    outputs: Outputs = "all",
    bias: str = "keep",
    rules: str | Rules | Named = "lrp0",
    dtype: DTypeLike | None = None,
    memory: int = 2**30,
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
        split: sources inside one array, made by `rfp_jax.sources`: `axis`, `groups`, `segments`,
            `masks`. For several arguments, a tuple of these and None. Relevance is stacked on a
            leading axis, or a dict where the split has names.
        outputs: which outputs to explain; see `rfp_jax.heatmap`. For less than all, the last axis
            of the output is gone from all that is returned, and the cheaper direction is taken:
            forward costs a pass a source, reverse one pass and the memory for all activations. It
            needs samples that do not interact (leading axes of sources and output agree).
        bias: `"keep"`: what came from no source is reported as bias. `"share"`: each layer's bias
            is shared among the sources in proportion to the size of their contributions to it.
        rules: the rules of propagation, a preset's name, `Rules`, or a rule for layers.
        dtype: the precision of contributions and of what is returned of them; by default that of
            the activations. With `jnp.float32`, a model that computes in bfloat16 is evaluated as
            it is, but what sources contributed is not rounded to bfloat16 at every step.
        memory: bytes that the parts of a split, pushed at one time, may take.

    Returns:
        A function of the same arguments that returns a `Relevance`, or `(Relevance, aux)`. Where
        the output is not finite, neither is its relevance: it is NaN.

    Raises:
        TypeError, ValueError: at the call, if `argnums`, the sources or the output are not of that
            kind; the message says what to pass.
        MissingRuleError: at the call, if an operation between a source and the output has no rule.

    Examples:
        Two sources, one hidden unit, a bias of -8:

        >>> import jax, jax.numpy as jnp, rfp_jax
        >>> def model(params, left, right):
        ...     return jax.nn.relu(left * params["a"] + right * params["b"] - 8.0)
        >>> params = {"a": 1.0, "b": 3.0}
        >>> rel = jax.jit(rfp_jax.relevance(model, argnums=(1, 2)))(params, 24.0, 24.0)
        >>> float(rel.output), [float(r) for r in rel.sources], float(rel.bias)
        (88.0, [24.0, 72.0], -8.0)

    References:
        Gawlikowski & Gottschling, "Relevance Forward Propagation", BMVC 2024. The sharing of bias
        is an option of the authors' code.
    """
    if bias not in ("keep", "share"):
        raise ValueError(f"bias={bias!r} is not known; pass 'keep' or 'share'")
    chosen = resolve(rules)
    if bias == "share" and chosen.needs_shares:
        raise ValueError(
            f"bias='share' goes with contributions, but the rules {chosen.name} carry shares of "
            "relevance; use bias='keep' or rules without flat, wsquare, zbox and identity"
        )
    check(dtype)
    propagation = replace(SharedBias(chosen) if bias == "share" else walk(chosen), dtype=dtype)

    @functools.wraps(fun)
    def explained(*args: Any, **kwargs: Any) -> Any:
        call = trace(fun, argnums, args, kwargs, has_aux).widened(dtype)
        splits = split_leaves(split, call.tree)
        if not is_all(outputs) and bias == "keep" and _reverse_is_cheaper(call, splits):
            relevance, aux = _reverse(call, propagation, splits, outputs)
        else:
            relevance, aux = _forward(call, propagation, splits, outputs, memory)
        return (relevance, aux) if has_aux else relevance

    return explained


def _forward(
    call: Trace, walk: Propagation, splits: Splits, outputs: Outputs, memory: int
) -> tuple[Relevance, Any]:
    """Push every source forward to all outputs; then weigh those that were chosen."""
    if all(split is None for split in splits) or isinstance(walk, SharedBias):
        results, rows = side_by_side(call, walk, splits)
    else:
        results, rows = one_after_another(call, walk, splits, memory)
    ys = results[: call.output_tree.num_leaves]
    if not is_all(outputs):
        weights = jax.tree.leaves(cotangent(outputs, call.output_tree.unflatten(ys)))
        rows = [list(map(weighted, weights, row)) for row in rows]
        ys = list(map(weighted, weights, ys))
    return _relevance(call, splits, ys, rows), call.aux(results)


def _reverse(
    call: Trace, walk: Propagation, splits: Splits, outputs: Outputs
) -> tuple[Relevance, Any]:
    """Pull the chosen output of each sample back to the sources; then sum over each of them."""
    results, pull = pullback(call, walk)
    (y,) = results[: call.output_tree.num_leaves]
    weights = cotangent(outputs, y)
    chosen = weighted(weights, y)

    def total(heat: jax.Array) -> jax.Array:
        return heat.sum(tuple(range(chosen.ndim, heat.ndim)))

    def row(heat: jax.Array, split: Split | None) -> list[jax.Array]:
        if split is None:
            return [total(heat)]
        return [lax.map(lambda i: total(split.part(heat, i)), jnp.arange(split.count(heat.shape)))]

    rows = [row(heat, split) for heat, split in zip(pull([weights]), splits, strict=True)]
    return _relevance(call, splits, [chosen], rows), call.aux(results)


def _reverse_is_cheaper(call: Trace, splits: Splits) -> bool:
    """Whether one pass back is less than a pass forward for each source, and is possible."""
    if call.output_tree.num_leaves != 1 or has_while(call.jaxpr):
        return False
    samples = call.output_shapes[0][:-1]
    together = all(leaf.shape[: len(samples)] == samples for leaf in call.leaves)
    parts = sum(
        1 if split is None else split.count(leaf.shape)
        for leaf, split in zip(call.leaves, splits, strict=True)
    )
    return together and parts > 1


def _relevance(call: Trace, splits: Splits, ys: list[jax.Array], rows: Rows) -> Relevance:
    """Put outputs, relevance and the remainder in the caller's structures."""

    def finite(y: jax.Array, c: jax.Array) -> jax.Array:
        return jnp.where(jnp.isfinite(y), c, jnp.nan) if is_number(y) else c

    def is_number(y: jax.Array) -> bool:  # integers and truth values carry no relevance
        return jnp.issubdtype(y.dtype, jnp.inexact)

    rows = [list(map(finite, ys, row)) for row in rows]
    biases = list(ys)
    for row, split in zip(rows, splits, strict=True):
        parts = row if split is None else [c.sum(0) for c in row]
        biases = [b - c if is_number(b) else b for b, c in zip(biases, parts, strict=True)]
    tree = call.output_tree
    named = [name(split, row, tree) for split, row in zip(splits, rows, strict=True)]
    return Relevance(tree.unflatten(ys), call.tree.unflatten(named), tree.unflatten(biases))

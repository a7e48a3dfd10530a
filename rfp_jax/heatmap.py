"""Relevance of every input element for chosen outputs, in one backward pass an output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rfp_jax.argnums import Argnums
from rfp_jax.outputs import Outputs, classes, cotangent, is_all
from rfp_jax.pair import Pair, Value, activation
from rfp_jax.precision import check
from rfp_jax.propagate import Propagation
from rfp_jax.rules import Named, Rules, resolve
from rfp_jax.shares import walk
from rfp_jax.trace import Trace, trace


def heatmap(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    outputs: Outputs = "argmax",
    bias: str = "keep",
    rules: str | Rules | Named = "lrp0",
    dtype: DTypeLike | None = None,
) -> Callable[..., Any]:
    """Transform `fun` into a function that tells how much each input element spoke for an output.

    Frozen at its activations the network is a linear map M; the heatmap of a source x for the
    output k is `x * (Mᵀ e_k)`. Its sum over x is x's relevance for k: `rfp_jax.relevance` computes
    `M x`, and `<e_k, M x> = <Mᵀ e_k, x>`, the paper's theorem RFP = LRP.

    One backward pass answers for one output a sample and all sources; `rfp_jax.relevance` answers
    in one forward pass a source for all outputs. A heatmap keeps the activations in memory, as
    training does.

    Args:
        fun: the function to explain; see `rfp_jax.relevance`.
        argnums: which positional arguments are sources.
        outputs: which outputs are explained, for an output of shape [..., K]: `"argmax"`, each
            sample's greatest; an integer, or an integer array with one index a sample; `"all"`,
            each of the K in turn; or weights shaped like the output. Labels pass through
            `jax.jit` by closing over them:
            `jax.jit(lambda p, x, y: heatmap(fun, 1, outputs=y)(p, x))`.
        bias: only `"keep"`. Sharing out the bias needs all contributions at one place, and going
            backwards there are none: `rfp_jax.relevance(..., bias="share")` goes forwards.
        rules: the rules of propagation, a preset's name, `Rules`, or a rule for layers.
        dtype: the precision of contributions; see `rfp_jax.relevance`.

    Returns:
        A function of the same arguments that returns heatmaps, structured like what `argnums`
        points to and shaped like the sources, with a leading axis of K if `outputs="all"`. NaN
        where an explained output is not finite.

    Raises:
        TypeError, ValueError: at the call, if an argument is not of that kind.
        MissingRuleError: an operation between a source and the output has no rule.
        IrreversibleError: the program has a `while_loop` on values that depend on a source, which
            cannot be run backwards; `rfp_jax.relevance` runs it forwards.
        ValueError: `bias="share"` was asked for.

    Examples:
        >>> import jax.numpy as jnp, rfp_jax
        >>> w = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> rfp_jax.heatmap(lambda x: x @ w)(jnp.array([3.0, 5.0]))
        Array([ 0., 10.], dtype=float32)
    """
    if bias != "keep":
        raise ValueError(
            f"heatmap cannot do bias={bias!r}: a layer's bias is shared in proportion to what each "
            "source contributed there, which is known only going forwards; use rfp_jax.relevance"
        )
    check(dtype)
    propagation = replace(walk(resolve(rules)), dtype=dtype)

    @functools.wraps(fun)
    def explained(*args: Any, **kwargs: Any) -> Any:
        call = trace(fun, argnums, args, kwargs).widened(dtype)
        results, pull = pullback(call, propagation)
        output = call.output_tree.unflatten(results[: call.output_tree.num_leaves])
        if is_all(outputs):
            each = jax.vmap(lambda k: pull(jax.tree.leaves(cotangent(k, output))))
            return call.tree.unflatten(each(jnp.arange(classes(output))))
        return call.tree.unflatten(pull(jax.tree.leaves(cotangent(outputs, output))))

    return explained


def pullback(
    call: Trace, propagation: Propagation
) -> tuple[list[jax.Array], Callable[[list[jax.Array]], list[jax.Array]]]:
    """The results of a call, and the map from weights of outputs to heatmaps `x * (Mᵀ e)`."""
    walk = replace(propagation, reverse=True)
    count = call.output_tree.num_leaves

    def push(contributions: list[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
        leaves = zip(call.leaves, contributions, strict=True)
        pairs = [Pair(x, (c,)) for x, c in leaves]
        results = walk.run(call.jaxpr, call.consts, pairs)
        outputs = results[:count]
        return list(map(read, outputs)), call.results(results)

    def read(value: Value) -> jax.Array:
        y = activation(value)
        c = value.contributions[0] if isinstance(value, Pair) else None
        return jnp.zeros(y.shape, jnp.bfloat16) if c is None else walk.read(y, c)

    seeds = list(map(walk.seed, call.leaves))
    pushed, transpose, results = jax.vjp(push, seeds, has_aux=True)

    def pull(weights: list[jax.Array]) -> list[jax.Array]:
        given = zip(weights, results[:count], pushed, strict=True)
        # An output that is no number explains nothing: its weight turns what it reaches into NaN.
        safe = [
            jnp.where((w != 0) & ~jnp.isfinite(y), jnp.nan, w).astype(c.dtype) for w, y, c in given
        ]
        (gradients,) = transpose(safe)
        return [seed * g for seed, g in zip(seeds, gradients, strict=True)]

    return results, pull

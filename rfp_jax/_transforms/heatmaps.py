"""Relevance of every input element for chosen outputs, in one backward pass per output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rfp_jax._core.argnums import Argnums
from rfp_jax._core.linearize import FrozenProgram
from rfp_jax._core.outputs import Outputs, classes, cotangent, is_all
from rfp_jax._core.precision import check
from rfp_jax._core.traces import check_callable, trace
from rfp_jax._transforms.walks import BiasMode, walk
from rfp_jax._util.trees import Tree
from rfp_jax.rules import Composite, LayerRule

P = ParamSpec("P")


def heatmap(
    fun: Callable[P, Tree],
    argnums: Argnums = 0,
    *,
    outputs: Outputs = "argmax",
    ignore_index: int | None = None,
    bias: BiasMode = "keep",
    rules: str | Composite | LayerRule = "lrp0",
    dtype: DTypeLike | None = None,
) -> Callable[P, Tree]:
    """Transform `fun` into a function that tells how much each input element spoke for an output.

    Frozen at its activations the network is a linear map M; the heatmap of a source x for the
    output k is `x * (Mᵀ e_k)`. Its sum over x is x's relevance for k: `rfp_jax.relevance` computes
    `M x`, and `<e_k, M x> = <Mᵀ e_k, x>`, the paper's theorem RFP = LRP.

    One backward pass answers for one output per sample and all sources; `rfp_jax.relevance` answers
    in one forward pass per source for all outputs. A heatmap keeps the activations in memory, as
    training does.

    Args:
        fun: the function to explain; see `rfp_jax.relevance`.
        argnums: which positional arguments are sources.
        outputs: which outputs are explained, for an output of shape [..., K]: `"argmax"`, each
            sample's greatest; an integer, or an integer array with one index per sample; `"all"`,
            each of the K in turn; or weights or a mask, shaped like the output or its last axis.
            Labels pass through `rfp_jax.jit` by closing over them:
            `rfp_jax.jit(lambda p, x, y: heatmap(fun, 1, outputs=y)(p, x))`.
        ignore_index: an index in `outputs` that stands for "none": those samples have weight 0.
        bias: only `"keep"`. Sharing out the bias needs all contributions at one place, and going
            backwards there are none: `rfp_jax.relevance(..., bias="share")` goes forwards.
        rules: the rules of propagation: a preset's name, a `Composite`, or a rule for layers.
        dtype: the precision of contributions; see `rfp_jax.relevance`.

    Returns:
        A function of the same arguments that returns heatmaps, structured like what `argnums`
        points to and shaped like the sources, with a leading axis of K if `outputs="all"`. NaN
        where an explained output is not finite.

    Raises:
        TypeError, ValueError: at the call, if an argument is not of that kind, or `dtype` is
            narrower than the model's.
        MissingRuleError: an operation between a source and the output has no rule.
        ReverseModeError: the program has a `while_loop` on values that depend on a source, which
            cannot be run backwards; `rfp_jax.relevance` runs it forwards.

    Warns:
        RelevanceStopsWarning: see `rfp_jax.relevance`.

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
    check_callable(fun)
    check(dtype)

    @functools.wraps(fun)
    def explained(*args: P.args, **kwargs: P.kwargs) -> Tree:
        given = trace(fun, argnums, args, kwargs)
        given.check_precision(dtype)
        call = given.widened(dtype)
        results, pull = FrozenProgram(call, walk(rules, dtype=dtype)).pull()
        output = call.output_tree.unflatten(results[: call.output_tree.num_leaves])

        def heats(chosen: Outputs) -> list[jax.Array]:
            return pull(jax.tree.leaves(cotangent(chosen, output, ignore_index)))

        if is_all(outputs):
            each = jax.vmap(heats)
            return call.tree.unflatten(each(jnp.arange(classes(output))))
        return call.tree.unflatten(heats(outputs))

    walk(rules)  # a name that is not known is refused before the call
    return explained

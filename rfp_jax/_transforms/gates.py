"""A function with the values of another, whose derivative is relevance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.custom_derivatives import SymbolicZero

from rfp_jax._core.argnums import Argnums
from rfp_jax._core.linearize import FrozenProgram
from rfp_jax._core.traces import check_callable, trace
from rfp_jax._transforms.walks import walk
from rfp_jax._util.trees import Tree
from rfp_jax.rules import Composite, LayerRule, resolve

P = ParamSpec("P")
T = TypeVar("T")


def gate(
    fun: Callable[P, T], argnums: Argnums = 0, *, rules: str | Composite | LayerRule = "lrp0"
) -> Callable[P, T]:
    """Transform `fun` into a function of the same values whose derivative is relevance.

    Frozen at its activations a network is a linear map M. `jax.jvp` of the gated function pushes a
    contribution forward, `M c`; `jax.vjp` pulls an output back, `Mᵀ e`. With respect to arguments
    that are not sources, the derivative is the true one. For derivatives of relevance itself
    differentiate `rfp_jax.relevance`. Compile what pushes or pulls by `rfp_jax.jit`.

    Args:
        fun: the function to explain; see `rfp_jax.relevance`.
        argnums: which positional arguments are sources. What depends on none of them is a constant.
        rules: the rules of propagation.

    Returns:
        A function of the same arguments that returns what `fun` returns.

    Raises:
        TypeError, ValueError, MissingRuleError: at the call, as `rfp_jax.relevance` does.

    Examples:
        The paper's theorem on one ReLU: what is pushed forward equals what is pulled back.

        >>> import jax, jax.numpy as jnp, rfp_jax
        >>> x, w = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
        >>> net = rfp_jax.gate(lambda x: jax.nn.relu(x @ w - 5.0))
        >>> output, forward = jax.jvp(net, (x,), (x,))
        >>> output, pull = jax.vjp(net, x)
        >>> float(output), float(forward), float(x @ pull(jnp.float32(1.0))[0])
        (6.0, 11.0, 11.0)
    """
    if resolve(rules).in_fractions:
        raise ValueError(
            f"a derivative pushes contributions, but the rules {resolve(rules).name} carry "
            "fractions of relevance; use rfp_jax.relevance or rfp_jax.heatmap"
        )

    check_callable(fun)

    @functools.wraps(fun)
    def gated(*args: P.args, **kwargs: P.kwargs) -> T:
        call = trace(fun, argnums, args, kwargs)

        @jax.custom_jvp
        def plain(arrays: Sequence[jax.Array], leaves: Sequence[jax.Array]) -> list[jax.Array]:
            return eval_jaxpr(call.jaxpr, call.given(arrays, leaves).consts, *leaves)

        @functools.partial(plain.defjvp, symbolic_zeros=True)
        def _(primals: Tree, tangents: Tree) -> tuple[list[jax.Array], list[Tree]]:
            arrays, leaves = primals
            arrays_dot, leaves_dot = tangents
            program = FrozenProgram(call.given(arrays, leaves), walk(rules))
            outputs, pushed = program.push_beside(list(map(_or_none, leaves_dot)))
            relevance = [_tangent(y, c) for y, c in zip(outputs, pushed, strict=True)]
            if any(_or_none(c) is not None for c in jax.tree.leaves(arrays_dot)):
                dots = jax.tree.map(_instantiate, arrays, arrays_dot)
                direct = jax.jvp(lambda arrays: plain.fun(arrays, leaves), (arrays,), (dots,))[1]
                relevance = [
                    r if r.dtype == jax.dtypes.float0 else r + d
                    for r, d in zip(relevance, direct, strict=True)
                ]
            return outputs, relevance

        return call.output_tree.unflatten(plain(call.arrays, call.leaves))

    return gated


def _or_none(tangent: Tree) -> Tree:
    """Return a tangent, or None where it is zero by structure."""
    zero = isinstance(tangent, SymbolicZero) or tangent.dtype == jax.dtypes.float0
    return None if zero else tangent


def _instantiate(primal: Tree, tangent: Tree) -> Tree:
    """Return a tangent as `jax.jvp` wants it: an array, of float0 for integers."""
    if not jnp.issubdtype(jnp.result_type(primal), jnp.inexact):
        return np.zeros(jnp.shape(primal), jax.dtypes.float0)
    return jnp.zeros_like(primal) if isinstance(tangent, SymbolicZero) else tangent


def _tangent(output: jax.Array, pushed: jax.Array | None) -> Tree:
    """Return what was pushed to an output, in the form of a tangent."""
    return _instantiate(output, jnp.zeros_like(output) if pushed is None else pushed)

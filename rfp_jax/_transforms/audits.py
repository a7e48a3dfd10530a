"""Check how relevance comes about: every equation with its rule, and a certificate."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
from jax.typing import DTypeLike

from rfp_jax._core.argnums import Argnums
from rfp_jax._core.precision import check
from rfp_jax._core.traces import check_callable, trace
from rfp_jax._transforms.survey import Survey
from rfp_jax._transforms.verdict import Audit, Entry
from rfp_jax._transforms.walks import walk
from rfp_jax._util.trees import Given, Tree, is_traced
from rfp_jax.rules import Composite, LayerRule

__all__ = ["Audit", "Entry", "audit"]


def audit(
    fun: Callable[..., Tree],
    argnums: Argnums = 0,
    *,
    rules: str | Composite | LayerRule = "lrp0",
    dtype: DTypeLike | None = None,
) -> Callable[..., Audit]:
    """Transform `fun` into a function that checks how its relevance comes about.

    `rfp_jax.relevance` reports as bias what remains, so that its sum is right by construction and
    proves nothing. The audit tests every equation: that its rule keeps `y = push(a) + bias`, is
    linear, and has the transpose that the reverse direction takes, on its activations and on random
    contributions. Then it propagates the bias on its own, every added constant as a contribution of
    one more source; what remains of the output is a residual that can fail. All this is computed in
    at least float32, whatever the model's dtype, so that tolerances are rounding errors.

    Args:
        fun: the function to explain; see `rfp_jax.relevance`.
        argnums: which positional arguments are sources.
        rules: the rules of propagation: a preset's name, a `Composite`, or a rule for layers.
        dtype: a precision above float32, and never narrower than that of the model.

    Returns:
        A function of the same arguments that returns an `Audit`. Any array may be given as a
        `jax.ShapeDtypeStruct`: then nothing is run, and the audit tells which equations have rules.

    Raises:
        TypeError, ValueError: at the call, as `rfp_jax.relevance` does. A missing rule is reported,
            not raised.

    Examples:
        >>> import jax, jax.numpy as jnp, rfp_jax
        >>> report = rfp_jax.audit(lambda x: jax.nn.relu(2 * x - 1.0))(jnp.ones(3))
        >>> print(report.verdict)
        3 equations depend on a source: 2 linear, 1 rule. Conserved: residual 0.0e+00, tolerance
        6.6e-06.
        >>> [(entry.primitive, entry.rule, entry.bias) for entry in report.entries]
        [('mul', 'mean_or_product', None), ('sub', 'affine', -1.0), ('max', 'maximum', None)]
    """
    check_callable(fun)
    check(dtype)
    walk(rules)  # a name that is not known is refused before the call

    @functools.wraps(fun)
    def audited(*args: Given, **kwargs: Given) -> Audit:
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays = {i: leaf for i, leaf in enumerate(leaves) if hasattr(leaf, "shape")}

        def survey(arrays: dict[int, Given]) -> Survey:
            full = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
            args, kwargs = jax.tree.unflatten(tree, full)
            call = trace(fun, argnums, args, kwargs)
            call.check_precision(dtype)
            return Survey.from_call(call, rules, dtype)

        if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
            found: list[Survey] = []
            jax.eval_shape(lambda arrays: found.append(survey(arrays)), arrays)
            return found[0].audit()
        if any(is_traced(leaf) for leaf in leaves):
            raise TypeError(
                "an audit measures numbers, and cannot stand inside jax.jit, vmap or grad: call it "
                "on arrays, or give jax.ShapeDtypeStruct to see the rules alone"
            )
        return survey(arrays).certified()

    return audited

"""What every rule returns: an equation frozen at its activations, as an affine map."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax

from rfp_jax.equation import Equation
from rfp_jax.pair import Pair

if TYPE_CHECKING:
    from rfp_jax.rules.layer import Layer


class Affine(NamedTuple):
    """An equation `y = f(x)` frozen at its activations: `y = push(x) + bias`.

    This equality is the law that every rule keeps. Relevance moves by `push` alone; what `bias`
    returns came from no source.

    Attributes:
        output: `f(x)`, the values of the plain program.
        push: the linear part, of one contribution for each tracked operand; its result has the
            shape of `output`. None if no relevance passes: the output then counts as a constant.
        bias: computes the constant part; None where there is none by structure.
        of: the pairs whose contributions `push` takes, if not the equation's tracked operands: a
            rule may see through them to what they were made of.
        layer: the layer with weights that ends here, for rules that look at weights.
        shares: whether `push` and `bias` are of shares of relevance, not of contributions.
        sums: whether `push` is a sum of one linear term an operand; then None may stand for a
            contribution that is absent, and its term costs nothing.
    """

    output: Any
    push: Callable[..., Any] | None = None
    bias: Callable[[], Any] | None = None
    of: tuple[Pair, ...] | None = None
    layer: Layer | None = None
    shares: bool = False
    sums: bool = False


Rule = Callable[..., Affine]
"""`rule(equation, *activations) -> Affine`, with the activations of the tracked operands.

The first argument is an `Equation`: it can be called at other activations and holds parameters.
"""


def linear(f: Equation, *x: jax.Array) -> Affine:
    """`f` is linear in its tracked operands: `push = f`, no bias."""
    return Affine(f(*x), f)


def constant(f: Equation, *x: jax.Array) -> Affine:
    """No relevance passes: comparisons, `stop_gradient`, denominators of normalisations."""
    return Affine(f(*x))

"""The result of every rule: an equation frozen at its activations, as an affine map."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from rfp_jax._core.equation import Equation
from rfp_jax._core.jaxprs import Results, shape_of
from rfp_jax._core.signatures import is_sequence
from rfp_jax._core.value import Tracked
from rfp_jax._util.trees import Tree

R = TypeVar("R")


class Frozen(NamedTuple):
    """An equation `y = f(x)` frozen at its activations: `y = push(x) + bias`.

    This equality is the law that every rule keeps. Relevance moves by `push` alone; what `bias`
    returns came from no source.

    Attributes:
        output: `f(x)`, the values of the plain program; a list for an equation of several results.
        push: the linear part, of one contribution per input; its result has the form of `output`.
            None if no relevance passes: the output then counts as a constant.
        bias: computes the constant part, in the form of `output`; None where there is none by
            structure.
        inputs: the values whose contributions `push` takes, if not the equation's tracked operands:
            a rule may see through them to what they were made of, or leave out a weight. Empty if
            no contribution passes, though later rules may look through the equation.
        in_fractions: whether `push` and `bias` are of fractions of the activation, not of
            contributions.
        skips_absent: whether `push` is a sum of one linear term per input; then None may stand for
            a contribution that is absent, and its term costs nothing.
        ends_chain: whether the result is a variable of its own: functions of one variable that come
            after do not look through it.
        note: what rules that come after find as the result's `note`.
        label: how tables name the rule, if not by its function.
    """

    output: Results
    push: Callable[..., Tree] | None = None
    bias: Callable[[], Results] | None = None
    inputs: tuple[Tracked, ...] | None = None
    in_fractions: bool = False
    skips_absent: bool = False
    ends_chain: bool = False
    note: object = None
    label: str = ""

    @property
    def outputs(self) -> list[jax.Array]:
        """The results, one alone as well."""
        return listed(self.output)

    def pushed(self, *contributions: jax.Array | None) -> list[jax.Array | None]:
        """Return what `push` makes of contributions, one result alone as a list too."""
        assert self.push is not None
        return [*listed(self.push(*contributions))]

    def biases(self) -> list[jax.Array]:
        """Return the constant part of each result."""
        assert self.bias is not None
        return listed(self.bias())


def check_frozen(f: Equation, frozen: object) -> Frozen:
    """Return what a rule made of an equation, if it can be that.

    Raises:
        TypeError: it is not a `Frozen`, or its output has not the shapes of the equation's results.
    """
    if not isinstance(frozen, Frozen):
        raise TypeError(
            f"the rule for {_told(f)} returned {type(frozen).__name__}; a rule returns "
            "rfp_jax.rules.Frozen(output, push, bias)"
        )
    given = [np.shape(y) for y in frozen.outputs]
    if given != (shapes := list(map(shape_of, f.eqn.outvars))):
        raise TypeError(
            f"the rule for {_told(f)} returned an output of shapes {given}, but the results have "
            f"shapes {shapes}; the output is what the plain program computes, "
            "equation(*activations)"
        )
    return frozen


def check_pushed(f: Equation, output: jax.Array, pushed: jax.Array | None) -> None:
    """Refuse a contribution that has not the shape of the result to which it was pushed.

    Raises:
        TypeError: it has another shape, which would be broadcast in silence.
    """
    if pushed is not None and np.shape(pushed) != np.shape(output):
        raise TypeError(
            f"the rule for {_told(f)} pushed a contribution of shape {np.shape(pushed)} to a "
            f"result of shape {np.shape(output)}; what push returns has the shapes of the output"
        )


def _told(f: Equation) -> str:
    return f"{f.name!r} at {f.source or '(unknown)'}"


def listed(results: Results) -> list[jax.Array]:
    """Return results as a list, one alone as well."""
    return list(results) if is_sequence(results) else [results]


Rule = Callable[..., Frozen]
"""`rule(equation, *activations) -> Frozen`, with the activations of the tracked operands.

The first argument is an `Equation`: it can be called at other activations and holds parameters.
"""


def chained(rule: R) -> R:
    """Mark a rule that explains an elementwise equation as part of a function of one variable.

    Rules look through such equations; any other rule, a user's own, ends the function, and the
    result is a variable of its own.
    """
    rule.is_chained = True  # type: ignore[attr-defined]  # no type says it
    return rule


def is_chained(rule: Rule) -> bool:
    """Return whether rules may look through the equations that a rule explains."""
    return getattr(rule, "is_chained", False)


@chained
def linear(f: Equation, *x: jax.Array) -> Frozen:
    """`f` is linear in its tracked operands: `push = f`, no bias."""
    return Frozen(f(*x), f)


@chained
def constant(f: Equation, *x: jax.Array) -> Frozen:
    """No relevance passes: comparisons, `stop_gradient`."""
    return Frozen(f(*x))

"""The errors and warnings that a user can meet inside a network."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["MissingRuleError", "RelevanceStopsWarning", "ReverseModeError"]


class _Equation(Protocol):
    """The facts that a message tells of an equation."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def tracked(self) -> tuple[bool, ...]: ...
    @property
    def eqn(self) -> Any: ...  # an equation of JAX, of which messages read attributes


class RelevanceStopsWarning(UserWarning):
    """A source reaches the output only through operations that pass no relevance."""


class ReverseModeError(NotImplementedError):
    """A program that runs forwards only was asked to run backwards."""

    def __init__(self, path: str, source: str):
        super().__init__(
            f"the loop at {source or '(unknown)'} (module path: {path or '(none)'}) is a "
            "while_loop: how often it runs is known only afterwards, so it cannot be run "
            "backwards. Use rfp_jax.relevance, which runs forwards, or lax.scan, or a fori_loop "
            "with fixed bounds."
        )


class MissingRuleError(NotImplementedError):
    """An operation that depends on a source has no propagation rule.

    The message names the primitive, the shapes, the user's line, the module path, and the line that
    registers a rule. Nothing is ever guessed: an operation without a rule stops the propagation.

    Attributes:
        reason: why there is no rule, or None if nobody has thought of it.
    """

    def __init__(self, equation: _Equation, reason: str | None = None):
        self.reason = reason
        name = equation.name
        operands = ", ".join(
            f"{var.aval.str_short()}{' (from a source)' if tracked else ''}"
            for var, tracked in zip(equation.eqn.invars, equation.tracked, strict=True)
        )
        results = ", ".join(var.aval.str_short() for var in equation.eqn.outvars)
        lines = [
            f"no relevance propagation rule for the primitive '{name}'",
            f"  computes: {operands} -> {results}",
            f"  in your code: {equation.source or '(unknown)'}",
            f"  module path: {equation.path or '(none)'}",
        ]
        if reason:
            lines.append(f"  why: {reason}")
        lines.append("Say how relevance passes through it, once, before you call relevance():")
        register = f"  rfp_jax.register('{name}', rfp_jax.rules."
        if reason:  # it is why the other ready-made rules do not fit
            lines.append(f"{register}constant)     # if none passes: the result is a constant")
        else:
            lines.append(f"{register}linear)       # if it is linear")
            if _may_be_elementwise(equation):
                lines.append(f"{register}elementwise)  # y = f(x) elementwise")
        lines.append("or give a rule of your own: see rfp_jax.register.")
        super().__init__("\n".join(lines))


def _may_be_elementwise(equation: _Equation) -> bool:
    """Return whether the shapes allow for a function of one variable, element by element."""
    each = zip(equation.eqn.invars, equation.tracked, strict=True)
    operands = [getattr(var.aval, "shape", None) for var, tracked in each if tracked]
    results = [getattr(var.aval, "shape", None) for var in equation.eqn.outvars]
    return len(operands) == 1 and operands == results

"""Sets of rules: which rule an equation gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jax.extend.core import Primitive

from rfp_jax.equation import Equation
from rfp_jax.rules.affine import Rule
from rfp_jax.rules.lrp0 import TABLE
from rfp_jax.rules.taylor import ATTNLRP, UNIFORM


@dataclass(frozen=True)
class Rules:
    """A choice of one rule for each equation: exceptions by place first, then by primitive.

    Attributes:
        name: what messages and tables call it.
        table: the rule for each primitive, by the primitive's name.
        places: `(predicate, rules)`; the first whose predicate holds for an equation decides,
            unless its own table leaves the primitive out.

    Example:
        >>> import rfp_jax
        >>> in_decoder = lambda equation: "decoder" in equation.path
        >>> halves = rfp_jax.rules.Rules("halves", {"dot_general": rfp_jax.rules.uniform})
        >>> rules = rfp_jax.rules.lrp0.where(in_decoder, halves)
        >>> rules.name
        'lrp0 (halves in places)'
    """

    name: str
    table: Mapping[str, Rule]
    places: tuple[tuple[Callable[[Equation], bool], Rules], ...] = ()

    def __call__(self, equation: Equation) -> Rule | None:
        """The rule for an equation, or None if there is none."""
        for holds, rules in self.places:
            if holds(equation) and (rule := rules(equation)):
                return rule
        return self.table.get(equation.name)

    def where(self, predicate: Callable[[Equation], bool], rules: Rules) -> Rules:
        """These rules, but `rules` for the equations of which the predicate holds.

        Args:
            predicate: of an `Equation`: `equation.path` is the module path, `equation.name` the
                primitive, `equation.source` the line.
            rules: what holds there; a primitive that it leaves out keeps its rule.
        """
        name = f"{self.name} ({rules.name} in places)"
        return Rules(name, self.table, ((predicate, rules), *self.places))


lrp0 = Rules("lrp0", TABLE)
"""The default: LRP-0, which for ReLU networks is relevance forward propagation."""

uniform_attention = Rules("uniform", {**TABLE, **UNIFORM})
attnlrp = Rules("attnlrp", {**TABLE, **ATTNLRP})
_PRESETS = {rules.name: rules for rules in (lrp0, uniform_attention, attnlrp)}


def resolve(rules: str | Rules) -> Rules:
    """The set of rules that a caller's `rules=` names.

    Raises:
        ValueError: if no preset has this name.
    """
    if isinstance(rules, Rules):
        return rules
    if rules not in _PRESETS:
        raise ValueError(f"no rules named {rules!r}; known: {', '.join(_PRESETS)}")
    return _PRESETS[rules]


def register(primitive: Primitive | str, rule: Rule) -> None:
    """Say how relevance passes through a primitive, in the default rules.

    Args:
        primitive: a JAX primitive, or its name.
        rule: `rule(equation, *activations) -> Affine`. The equation can be called at other
            activations of those operands that depend on a source, and has `params`, `operands`,
            `tracked`. Ready made: `rules.linear`, `affine`, `elementwise`, `product` and
            `constant`. A rule must keep `output == push(*activations) + bias`, which
            `rfp_jax.audit` checks.

    Raises:
        TypeError: if the primitive is neither a primitive nor a name, or the rule is not callable.

    Example:
        A cube root of which relevance shall not pass:

        >>> import jax, jax.numpy as jnp, rfp_jax
        >>> from jax.extend.core.primitives import cbrt_p
        >>> rfp_jax.register(cbrt_p, rfp_jax.rules.constant)
        >>> float(rfp_jax.relevance(jnp.cbrt)(8.0).sources)
        0.0
        >>> rfp_jax.register("cbrt", rfp_jax.rules.elementwise)
        >>> float(rfp_jax.relevance(jnp.cbrt)(8.0).sources)
        2.0
    """
    name = primitive.name if isinstance(primitive, Primitive) else primitive
    if not isinstance(name, str):
        raise TypeError(f"register() takes a primitive or its name, got {primitive!r}")
    if not callable(rule):
        raise TypeError(f"register({name!r}, ...) takes a rule, a function; got {rule!r}")
    TABLE[name] = rule

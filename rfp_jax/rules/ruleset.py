"""Sets of rules: which rule an equation gets."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from jax.extend.core import Primitive

from rfp_jax.equation import Equation
from rfp_jax.roles import LAYERS
from rfp_jax.rules.affine import Rule
from rfp_jax.rules.layer import diagonal, layered
from rfp_jax.rules.lrp0 import TABLE
from rfp_jax.rules.named import Named
from rfp_jax.rules.taylor import ATTNLRP, UNIFORM

Predicate = Callable[[Equation], bool]
"""Whether an equation is meant: by `equation.path`, `name`, `is_first`, `source`."""


@dataclass(frozen=True)
class Rules:
    """A choice of one rule for each equation: exceptions by place first, then by primitive.

    Attributes:
        name: what messages and tables call it.
        table: the rule for each primitive, by the primitive's name.
        places: `(predicate, rules)`; the first whose predicate holds for an equation decides,
            unless its own table leaves the primitive out.
        named: the rule of layers in `table`, if it has one.

    Examples:
        The attention of a decoder by AttnLRP, its first layer flat, all else by the default:

        >>> import rfp_jax
        >>> from rfp_jax import rules
        >>> in_decoder = lambda equation: "decoder" in equation.path
        >>> mine = rules.lrp0.where(in_decoder, rules.attnlrp)
        >>> mine = mine.where(lambda equation: equation.is_first, rules.flat())
        >>> mine.name
        'lrp0 (attnlrp in places) (flat() in places)'
    """

    name: str
    table: Mapping[str, Rule]
    places: tuple[tuple[Predicate, Rules], ...] = ()
    named: Named | None = None

    def __call__(self, equation: Equation) -> Rule | None:
        """The rule for an equation, or None if there is none."""
        for holds, rules in self.places:
            if holds(equation) and (rule := rules(equation)):
                return rule
        return self.table.get(equation.name)

    def where(self, predicate: Predicate, rules: Rules | Named | str) -> Rules:
        """These rules, but `rules` for the equations of which the predicate holds.

        Args:
            predicate: of an `Equation`: `equation.path` is the module path, `equation.name` the
                primitive, `equation.is_first` whether no layer precedes, `equation.source` the
                line.
            rules: what holds there; a primitive that it leaves out keeps its rule.
        """
        there = resolve(rules)
        name = f"{self.name} ({there.name} in places)"
        return replace(self, name=name, places=((predicate, there), *self.places))

    @property
    def needs_shares(self) -> bool:
        """Whether a rule gives to inputs that are zero, so that shares have to be carried."""
        here = self.named is not None and self.named.needs_shares
        return here or any(rules.needs_shares for _, rules in self.places)


def of_layers(named: Named, base: Mapping[str, Rule] = TABLE) -> Rules:
    """The default rules, but one named rule for every layer with weights."""
    followers = ["add", "add_any", "sub", "mul", "div"]
    table = {name: layered(named, base[name]) for name in LAYERS}
    table |= {name: diagonal(base[name]) for name in followers}
    return Rules(named.name, ChainMap(table, base), named=named)  # type: ignore[arg-type]


lrp0 = Rules("lrp0", TABLE)
"""The default: LRP-0, which for ReLU networks is relevance forward propagation."""

uniform_attention = Rules("uniform", ChainMap(UNIFORM, TABLE))
"""Every product shares alike between its factors, gates and attention weights too."""

attnlrp = Rules("attnlrp", ChainMap(ATTNLRP, TABLE))
"""AttnLRP: products share alike, the softmax passes by its gradient (Achtibat et al. 2024)."""

cp_lrp = Rules("cp_lrp", TABLE)
"""CP-LRP: attention weights are constants (Ali et al. 2022), as in the default."""

_PRESETS = {rules.name: rules for rules in (lrp0, uniform_attention, attnlrp, cp_lrp)}


def resolve(rules: str | Rules | Named) -> Rules:
    """The set of rules that a caller's `rules=` means: a preset's name, rules, or one named rule.

    Raises:
        ValueError: if no preset has this name.
        TypeError: if it is none of the three.
    """
    if isinstance(rules, Rules):
        return rules
    if isinstance(rules, Named):
        return of_layers(rules)
    if not isinstance(rules, str):
        raise TypeError(f"rules= takes a preset's name, Rules or a named rule, got {rules!r}")
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

    Examples:
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

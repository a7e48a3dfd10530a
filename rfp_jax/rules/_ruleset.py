"""Composites: which rule an equation gets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from jax.extend.core import Primitive

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Rule
from rfp_jax._core.primitives import LAYERS
from rfp_jax.rules._layer import LayerRule, diagonal, layered
from rfp_jax.rules._lrp0 import TABLE
from rfp_jax.rules._registry import REGISTERED, check_name
from rfp_jax.rules._taylor import ATTNLRP, UNIFORM

Predicate = Callable[[Equation], bool]
"""True for the equations that are meant, by their `path`, `name`, `is_first`, `source`."""

_FOLLOWERS = frozenset("add add_any sub mul div".split())
"""Primitives that belong to the layer right before them, with a constant."""


@dataclass(frozen=True)
class Composite:
    """A choice of one rule for each equation: exceptions by place first, then by primitive.

    A composite is a value: it can be hashed and compared, for instance as a static argument of
    `jax.jit`.

    Attributes:
        name: what messages and tables call it.
        own: the rules by which it differs from the default, by the primitive's name.
        overrides: `(predicate, rules)`; the first whose predicate holds for an equation decides,
            unless it leaves the primitive out.
        layer_rule: the rule of layers with weights, if it has one.

    Examples:
        The attention of a decoder by AttnLRP, its first layer flat, all else by the default:

        >>> import rfp_jax
        >>> from rfp_jax import rules
        >>> in_decoder = lambda equation: "decoder" in equation.path
        >>> mine = rules.lrp0.override(in_decoder, rules.attnlrp)
        >>> mine = mine.override(lambda equation: equation.is_first, rules.flat())
        >>> mine.name
        'lrp0 (attnlrp in places) (flat() in places)'
        >>> rules.lrp0.with_rules({"tanh": rules.taylor}) == rules.lrp0.with_rules(
        ...     {"tanh": rules.taylor}
        ... )
        True
    """

    name: str
    own: tuple[tuple[str, Rule], ...] = ()
    overrides: tuple[tuple[Predicate, Composite | Rule], ...] = ()
    layer_rule: LayerRule | None = None

    def __call__(self, equation: Equation) -> Rule | None:
        """Return the rule for an equation, or None if there is none."""
        for holds, rules in self.overrides:
            if holds(equation):
                rule = rules(equation) if isinstance(rules, Composite) else rules
                if rule is not None:
                    return rule
        return self._rule(equation.name)

    @functools.cached_property
    def _own(self) -> Mapping[str, Rule]:
        return dict(self.own)

    def _rule(self, name: str) -> Rule | None:
        rule = self._own.get(name) or REGISTERED.get(name) or TABLE.get(name)
        if self.layer_rule is None or rule is None:
            return rule
        if name in LAYERS:
            return layered(self.layer_rule, rule)
        return diagonal(rule) if name in _FOLLOWERS else rule

    @property
    def table(self) -> Mapping[str, Rule]:
        """The rule of each primitive, without exceptions by place."""
        names = dict.fromkeys([*TABLE, *REGISTERED, *self._own])
        return {name: rule for name in names if (rule := self._rule(name)) is not None}

    def with_rules(
        self, table: Mapping[str, Rule] | Mapping[Primitive, Rule], name: str | None = None
    ) -> Composite:
        """Return these rules with others for some primitives.

        Args:
            table: a rule for each primitive or its name.
            name: what messages and tables call the result.

        Raises:
            ValueError: JAX has no primitive of a name.
            TypeError: a rule is not callable.
        """
        for primitive, rule in table.items():
            if isinstance(primitive, str):
                check_name(primitive)
            if not callable(rule):
                raise TypeError(
                    f"the rule for {primitive} must be callable, rule(equation, *activations), got "
                    f"{rule!r}"
                )
        given = {p.name if isinstance(p, Primitive) else p: rule for p, rule in table.items()}
        own = tuple(sorted({**self._own, **given}.items(), key=lambda item: item[0]))
        return replace(self, own=own, name=name or f"{self.name} with {', '.join(given)}")

    def override(
        self, predicate: Predicate, rules: Composite | LayerRule | Rule | str
    ) -> Composite:
        """Return these rules, but `rules` for the equations of which the predicate holds.

        Args:
            predicate: of an `Equation`: `equation.path` is the module path, `equation.name` the
                primitive, `equation.is_first` whether no layer precedes, `equation.source` the
                line.
            rules: what holds there; a primitive that it leaves out keeps its rule. A single rule,
                such as `rules.secant(1.0)`, holds for every equation of the predicate.
        """
        there = resolve(rules) if isinstance(rules, Composite | LayerRule | str) else rules
        name = there.name if isinstance(there, Composite) else getattr(there, "__name__", "a rule")
        renamed = f"{self.name} ({name} in places)"
        return replace(self, name=renamed, overrides=((predicate, there), *self.overrides))

    @property
    def in_fractions(self) -> bool:
        """Return whether a rule gives to inputs that are zero, so that fractions travel."""
        here = self.layer_rule is not None and self.layer_rule.in_fractions
        nested = (rules for _, rules in self.overrides if isinstance(rules, Composite))
        return here or any(rules.in_fractions for rules in nested)


lrp0 = Composite("lrp0")
"""The default: LRP-0, which for ReLU networks is relevance forward propagation."""

uniform = lrp0.with_rules(UNIFORM, "uniform")
"""Every product shares alike between its factors, gates and attention weights too."""

attnlrp = lrp0.with_rules(ATTNLRP, "attnlrp")
"""AttnLRP: products share alike, the softmax passes by its gradient (Achtibat et al. 2024)."""

cp_lrp = replace(lrp0, name="cp_lrp")
"""CP-LRP: attention weights are constants (Ali et al. 2022), as in the default."""

_PRESETS = {rules.name: rules for rules in (lrp0, uniform, attnlrp, cp_lrp)}


def resolve(rules: str | Composite | LayerRule) -> Composite:
    """Return the composite that a caller's `rules=` means: a preset's name, or one rule of layers.

    Raises:
        ValueError: no preset has this name.
        TypeError: it is none of the three.
    """
    if isinstance(rules, Composite):
        return rules
    if isinstance(rules, LayerRule):
        return Composite(rules.name, layer_rule=rules)
    if not isinstance(rules, str):
        remedy = "; call it to get a rule" if callable(rules) else ""
        remedy = (
            "; pass rfp_jax.rules.lrp0.with_rules({...})" if isinstance(rules, dict) else remedy
        )
        raise TypeError(
            f"rules= takes a preset's name, a Composite or a LayerRule, got {rules!r}{remedy}"
        )
    if rules not in _PRESETS:
        raise ValueError(f"no rules named {rules!r}; known: {', '.join(_PRESETS)}")
    return _PRESETS[rules]

"""Composites: the combinations of rules that the field uses, under zennit's names.

A layer is dense (`dot_general`) or a convolution; the first layer is one that no layer precedes.
GuidedBackprop and DeconvNet change with the sign of relevance: they are not linear maps, have no
forward dual, and are not offered.
"""

from __future__ import annotations

from dataclasses import replace

from rfp_jax._core.equation import Equation
from rfp_jax._util.trees import Given
from rfp_jax.rules._layer import LayerRule
from rfp_jax.rules._named import alpha_beta, epsilon, flat, gamma, zbox, zplus
from rfp_jax.rules._ruleset import Composite, resolve


def is_first(equation: Equation) -> bool:
    """Return whether no layer precedes."""
    return equation.is_first


def is_convolution(equation: Equation) -> bool:
    """Return whether the equation is a convolution."""
    return equation.name == "conv_general_dilated"


def composite(
    name: str, *, dense: LayerRule, convolution: LayerRule, first: LayerRule | None = None
) -> Composite:
    """Composite for dense layers, for convolutions, and, if given, for the first layer.

    Examples:
        >>> from rfp_jax import rules
        >>> rules.composite("mine", dense=rules.epsilon(), convolution=rules.gamma(0.1)).name
        'mine'
    """
    rules = resolve(dense).override(is_convolution, convolution)
    if first is not None:
        rules = rules.override(is_first, first)
    return replace(rules, name=name)


def EpsilonPlus(eps: float = 1e-6) -> Composite:
    """ε for dense layers, z⁺ for convolutions."""
    return composite("EpsilonPlus", dense=epsilon(eps), convolution=zplus())


def EpsilonPlusFlat(eps: float = 1e-6) -> Composite:
    """ε for dense layers, z⁺ for convolutions, flat for the first layer."""
    return composite("EpsilonPlusFlat", dense=epsilon(eps), convolution=zplus(), first=flat())


def EpsilonAlpha2Beta1(eps: float = 1e-6) -> Composite:
    """ε for dense layers, α2β1 for convolutions."""
    return composite("EpsilonAlpha2Beta1", dense=epsilon(eps), convolution=alpha_beta(2, 1))


def EpsilonAlpha2Beta1Flat(eps: float = 1e-6) -> Composite:
    """ε for dense layers, α2β1 for convolutions, flat for the first layer."""
    return composite(
        "EpsilonAlpha2Beta1Flat",
        dense=epsilon(eps),
        convolution=alpha_beta(2, 1),
        first=flat(),
    )


def EpsilonGammaBox(low: Given, high: Given, eps: float = 1e-6, g: float = 0.25) -> Composite:
    """ε for dense layers, γ for convolutions, z-box, with the input's bounds, for the first."""
    return composite(
        "EpsilonGammaBox",
        dense=epsilon(eps),
        convolution=gamma(g),
        first=zbox(low, high),
    )


def ExcitationBackprop() -> Composite:
    """z⁺ for every layer (Zhang et al. 2018, "Top-down neural attention")."""
    return composite("ExcitationBackprop", dense=zplus(), convolution=zplus())

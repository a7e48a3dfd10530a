"""Rules by which relevance passes through each operation.

A rule is a function `rule(equation, *activations) -> Frozen`: it evaluates one equation and freezes
it as an affine map. `lrp0` is the default set of rules; `register` adds to it. The rules of
layer-wise relevance propagation have their names (`epsilon`, `gamma`, ...), and so have their usual
combinations (`EpsilonPlus`, ...).
"""

from __future__ import annotations

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen, Rule, constant, linear
from rfp_jax.rules._additive import affine
from rfp_jax.rules._composites import (
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    ExcitationBackprop,
    composite,
)
from rfp_jax.rules._elementwise import elementwise
from rfp_jax.rules._layer import Layer, LayerRule
from rfp_jax.rules._named import (
    alpha_beta,
    epsilon,
    flat,
    gamma,
    identity,
    wsquare,
    zbox,
    zero,
    zplus,
)
from rfp_jax.rules._place import secant, tangent
from rfp_jax.rules._product import equal_split, product, signal
from rfp_jax.rules._refuse import unsupported
from rfp_jax.rules._registry import register
from rfp_jax.rules._ruleset import Composite, attnlrp, cp_lrp, lrp0, resolve, uniform
from rfp_jax.rules._taylor import taylor

__all__ = [
    "Composite",
    "EpsilonAlpha2Beta1",
    "EpsilonAlpha2Beta1Flat",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
    "Equation",
    "ExcitationBackprop",
    "Frozen",
    "Layer",
    "LayerRule",
    "Rule",
    "affine",
    "alpha_beta",
    "attnlrp",
    "composite",
    "constant",
    "cp_lrp",
    "elementwise",
    "epsilon",
    "equal_split",
    "flat",
    "gamma",
    "identity",
    "linear",
    "lrp0",
    "product",
    "register",
    "resolve",
    "secant",
    "signal",
    "tangent",
    "taylor",
    "uniform",
    "unsupported",
    "wsquare",
    "zbox",
    "zero",
    "zplus",
]

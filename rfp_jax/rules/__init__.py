"""How relevance passes through each operation.

A rule is a function `rule(equation, *activations) -> Affine`: it evaluates one equation and freezes
it as an affine map. `lrp0` is the default set of rules; `register` adds to it. The rules of
layer-wise relevance propagation have their names (`epsilon`, `gamma`, ...), and so have their usual
combinations (`EpsilonPlus`, ...).
"""

from __future__ import annotations

from rfp_jax.rules.additive import affine
from rfp_jax.rules.affine import Affine, Rule, constant, linear
from rfp_jax.rules.composites import (
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    ExcitationBackprop,
    composite,
)
from rfp_jax.rules.elementwise import elementwise
from rfp_jax.rules.named import (
    Named,
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
from rfp_jax.rules.product import product, signal, uniform
from rfp_jax.rules.refuse import unsupported
from rfp_jax.rules.ruleset import (
    Rules,
    attnlrp,
    cp_lrp,
    lrp0,
    register,
    resolve,
    uniform_attention,
)
from rfp_jax.rules.taylor import taylor

__all__ = [
    "Affine",
    "EpsilonAlpha2Beta1",
    "EpsilonAlpha2Beta1Flat",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
    "ExcitationBackprop",
    "Named",
    "Rule",
    "Rules",
    "affine",
    "alpha_beta",
    "attnlrp",
    "composite",
    "constant",
    "cp_lrp",
    "elementwise",
    "epsilon",
    "flat",
    "gamma",
    "identity",
    "linear",
    "lrp0",
    "product",
    "register",
    "resolve",
    "signal",
    "taylor",
    "uniform",
    "uniform_attention",
    "unsupported",
    "wsquare",
    "zbox",
    "zero",
    "zplus",
]

"""How relevance passes through each operation.

A rule is a function `rule(equation, *activations) -> Affine`: it evaluates one equation and freezes
it as an affine map. `lrp0` is the default set of rules; `register` adds to it.
"""

from __future__ import annotations

from rfp_jax.rules.additive import affine
from rfp_jax.rules.affine import Affine, Rule, constant, linear
from rfp_jax.rules.elementwise import elementwise
from rfp_jax.rules.product import product, signal, uniform
from rfp_jax.rules.refuse import unsupported
from rfp_jax.rules.ruleset import Rules, attnlrp, lrp0, register, resolve, uniform_attention
from rfp_jax.rules.taylor import taylor

__all__ = [
    "Affine",
    "Rule",
    "Rules",
    "affine",
    "attnlrp",
    "constant",
    "elementwise",
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
]

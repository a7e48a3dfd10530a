"""Normalizers, `1 / sqrt(...)`: the scale of a LayerNorm or an RMSNorm is a constant.

Achtibat et al. 2024, "AttnLRP: attention-aware layer-wise relevance propagation for transformers",
proposition 3.4: relevance passes a normalization as if its scale did not depend on the input.
"""

from __future__ import annotations

import jax

from rfp_jax._core.equation import Equation, Kind, producer
from rfp_jax._core.frozen import Frozen
from rfp_jax._core.primitives import MOVES
from rfp_jax._core.value import Tracked, Value
from rfp_jax.rules._product import signal

_SCALED = MOVES | {"mul", "div", "neg"}


def normalized(f: Equation, *x: jax.Array) -> Frozen | None:
    """`f(x, 1 / sqrt(...))` is linear in x; None if not exactly one factor is a normalizer."""
    if len(f.inputs) != 2 or f.kind is Kind.FUNCTION:
        return None
    return signal(f, *x) if sum(map(is_normalizer, f.inputs)) == 1 else None


def is_normalizer(value: Value) -> bool:
    """Return whether a value is the inverse of a square root, moved or times a constant."""
    while isinstance(value, Tracked) and (made := producer(value)) is not None:
        if made.name == "rsqrt":
            return True
        if made.name == "pow":
            return made.power == -0.5
        if made.name == "div" and made.inputs and made.inputs[0] is made.values[1]:
            root = producer(made.inputs[0])
            return root is not None and root.name == "sqrt"
        if made.name not in _SCALED or len(made.inputs) != 1:
            return False
        value = made.inputs[0]
    return False

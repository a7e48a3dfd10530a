"""The walk that a caller's rules, bias and precision ask for."""

from __future__ import annotations

from typing import Literal

from jax.typing import DTypeLike

from rfp_jax._core.bias import Bias, Keep, Propagate, SharedBias
from rfp_jax._core.carrier import Contributions, Fractions
from rfp_jax._core.interpreter import Interpreter
from rfp_jax._core.rounded import Rounded
from rfp_jax.rules import Composite, LayerRule, resolve

BiasMode = Literal["keep", "share", "propagate"]

_BIASES: dict[str, Bias] = {"keep": Keep(), "share": SharedBias(), "propagate": Propagate()}


def walk(
    rules: str | Composite | LayerRule,
    bias: BiasMode = "keep",
    dtype: DTypeLike | None = None,
    max_error: float | None = None,
) -> Interpreter:
    """Return the interpreter of a transformation.

    Raises:
        ValueError: no bias of this name; biases cannot be shared, nor contributions rounded, under
            rules that carry fractions; biases cannot be shared by rounded contributions.
    """
    chosen = resolve(rules)
    if bias not in _BIASES:
        raise ValueError(f"bias={bias!r} is not known; pass 'keep', 'share' or 'propagate'")
    if bias == "share" and chosen.in_fractions:
        raise ValueError(
            f"bias='share' goes with contributions, but the rules {chosen.name} carry fractions of "
            "relevance; use bias='keep' or rules without flat, wsquare, zbox and identity"
        )
    if dtype is None or max_error is None:
        carrier = Fractions() if chosen.in_fractions else Contributions()
        return Interpreter(chosen, carrier, _BIASES[bias], dtype=dtype)
    if chosen.in_fractions or bias == "share":
        given = "bias='share'" if bias == "share" else f"the rules {chosen.name}"
        raise ValueError(
            f"max_error={max_error} bounds the error of contributions that are pushed by linear "
            f"maps, which {given} are not made of; leave dtype and max_error away"
        )
    return Interpreter(chosen, Rounded(dtype=dtype, max_error=max_error), _BIASES[bias])

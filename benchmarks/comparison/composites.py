"""zennit's composites beside ours of the same names, on a network of two first layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from benchmarks.zoo.taken_over import torchvision_operations
from rfp_jax import rules
from rfp_jax.rules import Composite

EPSILON, TINY, LOW, HIGH = 1e-6, 1e-12, -4.0, 4.0
"""ε of dense layers, the stabilizer of all other rules, and the bounds of the inputs."""

FIRST = ("optical.0", "sar.0")
"""The first layers of the two branches of `networks.Modules`."""


class Pair(NamedTuple):
    """A composite of ours, and zennit's: as zennit has it, and with all first layers named.

    Attributes:
        ours: a composite of `rfp_jax.rules`.
        theirs: makes zennit's for a module; merges batch norm, as ours does.
        named: the same with the rule of the first layer at both branches; None without one.
    """

    ours: Composite
    theirs: Callable[[nn.Module], Any]
    named: Callable[[nn.Module], Any] | None


def _zennit(name: str, options: Mapping[str, float], first: str = "") -> Pair:
    """Pair the composites of a name; `first` is the rule of the first layer in zennit's words."""

    def theirs(_: nn.Module) -> Any:
        torchvision_operations()
        from zennit import canonizers, composites  # pyright: ignore[reportMissingImports]

        made = getattr(composites, name)
        merge = canonizers.SequentialMergeBatchNorm()
        return made(canonizers=[merge], stabilizer=TINY, **options)

    def named(module: nn.Module) -> Any:
        others = theirs(module)
        from zennit import composites  # pyright: ignore[reportMissingImports]
        from zennit import rules as hooks  # pyright: ignore[reportMissingImports]

        bounds = {"low": LOW, "high": HIGH} if first == "ZBox" else {}
        rule = getattr(hooks, first)(stabilizer=TINY, **bounds)
        return composites.MixedComposite([composites.NameMapComposite([(FIRST, rule)]), others])

    arguments = (LOW, HIGH) if first == "ZBox" else ()
    return Pair(getattr(rules, name)(*arguments), theirs, named if first else None)


def pairs() -> dict[str, Pair]:
    """Return the composites that both have, by name."""
    dense = {"epsilon": EPSILON}
    return {
        "EpsilonPlus": _zennit("EpsilonPlus", dense),
        "EpsilonPlusFlat": _zennit("EpsilonPlusFlat", dense, "Flat"),
        "EpsilonAlpha2Beta1": _zennit("EpsilonAlpha2Beta1", dense),
        "EpsilonAlpha2Beta1Flat": _zennit("EpsilonAlpha2Beta1Flat", dense, "Flat"),
        "EpsilonGammaBox": _zennit("EpsilonGammaBox", dense | {"low": LOW, "high": HIGH}, "ZBox"),
        "ExcitationBackprop": _zennit("ExcitationBackprop", {}),
    }

"""Errors of maps, each with its remedy in the message."""

from __future__ import annotations

from collections.abc import Sequence


class GlobalNetworkError(ValueError):
    """Outputs depend on the whole window, so tiles would not equal the whole scene."""

    def __init__(self, operations: Sequence[object]):
        self.operations = tuple(operations)
        named = "\n".join(f"  {op}" for op in self.operations)
        super().__init__(
            f"the network's output at a pixel depends on the whole window:\n{named}\n"
            "Tiles of a scene would differ from one another. Say with window=(height, width) what "
            "size the network was trained on; with blend= windows overlap and are averaged"
        )


class SceneError(ValueError):
    """Sources, grids or options of a map do not fit one another."""


class NetworkSizeError(SceneError):
    """The network's output does not lie on the pixels of the scene."""

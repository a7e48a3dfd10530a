"""Layouts of one layer's arrays in PyTorch and in Flax.

| layer | PyTorch | Flax |
|---|---|---|
| convolution | `weight` [out, in, height, width] | `params/.../kernel` [height, width, in, out] |
| dense | `weight` [out, in] | `params/.../kernel` [in, out] |
| dense after flattening | columns by channel, row, column | rows by row, column, channel |
| convolution over a whole map | `weight` [out, in, height, width] | a dense layer's `kernel` |
| batch norm | `weight`, `bias` | `params/.../scale`, `bias` |
| batch norm | `running_mean`, `running_var` | `batch_stats/.../mean`, `var` |
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """A permutation of an array's axes, and of its inputs where a feature map was flattened.

    Attributes:
        axes: PyTorch's axes in Flax's order.
        channels: channels of the flattened feature map that axis 1 (PyTorch) holds; 0 for none.
    """

    axes: tuple[int, ...]
    channels: int = 0

    def to_flax(self, array: np.ndarray) -> np.ndarray:
        """Reorder a PyTorch array for Flax; a copy."""
        return self._reorder(array, (self.channels, -1)).transpose(self.axes).copy()

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Reorder a Flax array for PyTorch; a copy, the inverse of `to_flax`."""
        array = array.transpose(np.argsort(self.axes))
        return self._reorder(array, (-1, self.channels)).copy()

    def torch_shape(self, flax_shape: Shape) -> Shape:
        """Shape in PyTorch of an array that has `flax_shape` in Flax."""
        return tuple(flax_shape[axis] for axis in np.argsort(self.axes))

    @property
    def rank(self) -> int:
        """Number of axes in Flax."""
        return len(self.axes)

    def _reorder(self, array: np.ndarray, split: tuple[int, int]) -> np.ndarray:
        """Swap channels and positions within the inputs; only their product shows in a shape."""
        if not self.channels:
            return array
        outputs = array.shape[0]
        return array.reshape(outputs, *split).swapaxes(1, 2).reshape(array.shape)


@dataclass(frozen=True)
class WholeMap:
    """A convolution whose window is the whole feature map: a dense layer over the flattened map.

    Attributes:
        channels: channels of the feature map.
        extent: its height and width.
        rank: number of axes in Flax.
    """

    channels: int
    extent: int
    rank: int = 2

    def to_flax(self, array: np.ndarray) -> np.ndarray:
        """Kernel [height x width x in, out] of a weight [out, in, height, width]; a copy."""
        return array.transpose(2, 3, 1, 0).reshape(-1, array.shape[0]).copy()

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Inverse of `to_flax`; a copy."""
        shape = (self.extent, self.extent, self.channels, array.shape[1])
        return array.reshape(shape).transpose(3, 2, 0, 1).copy()

    def torch_shape(self, flax_shape: Shape) -> Shape:
        """Shape in PyTorch of an array that has `flax_shape` in Flax."""
        return (flax_shape[1], self.channels, self.extent, self.extent)


@dataclass(frozen=True)
class Place:
    """The place of a layer's array in Flax's variables, and its layout there."""

    collection: str
    leaf: str
    layout: Layout | WholeMap


Kind = Mapping[str, Place]
"""The arrays of a kind of layer: PyTorch's name of an array -> its place in Flax."""

_VECTOR = Layout((0,))

CONV: Kind = {
    "weight": Place("params", "kernel", Layout((2, 3, 1, 0))),
    "bias": Place("params", "bias", _VECTOR),
}
DENSE: Kind = {
    "weight": Place("params", "kernel", Layout((1, 0))),
    "bias": Place("params", "bias", _VECTOR),
}
BATCH_NORM: Kind = {
    "weight": Place("params", "scale", _VECTOR),
    "bias": Place("params", "bias", _VECTOR),
    "running_mean": Place("batch_stats", "mean", _VECTOR),
    "running_var": Place("batch_stats", "var", _VECTOR),
}


def dense_after_flatten(channels: int) -> Kind:
    """A dense layer over a flattened feature map: PyTorch flattens channels first, Flax last."""
    return {**DENSE, "weight": Place("params", "kernel", Layout((1, 0), channels))}


def dense_as_convolution(channels: int, extent: int) -> Kind:
    """A dense layer over a feature map that PyTorch writes as a convolution, as timm does."""
    return {**DENSE, "weight": Place("params", "kernel", WholeMap(channels, extent))}

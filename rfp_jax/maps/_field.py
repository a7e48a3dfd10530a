"""The field of a network: how far a pixel's output looks, and by which shifts it repeats.

A window gives the numbers of the whole scene where nothing that an output depends on lies outside,
and where the window begins at the same phase of every stride. So a window's origin is a multiple of
the total stride, its size is congruent to the scene's, and its margins are left out: they are the
most pixels on each side whose output depends on what lies beyond the window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import jax
import numpy as np

from rfp_jax._util.trees import Given, Tree
from rfp_jax.maps._dates import PLAIN
from rfp_jax.maps._errors import GlobalNetworkError
from rfp_jax.maps._reach.hull import Reach
from rfp_jax.maps._reach.walk import Operation, Walk

LARGEST = 2048
"""Scenes of more pixels are not looked at; a network that depends on all of one is global."""

AXES = ("y", "x")


@dataclass(frozen=True)
class Field:
    """The field of a network: the pixels around on which an output pixel depends.

    Attributes:
        stride: pixels in y and x by which a shift of the scene shifts every value of the network
            by whole elements.
        operations: what depends on the whole window or on the place in it; empty for a network
            whose tiles equal the whole.
    """

    stride: tuple[int, int]
    operations: tuple[Operation, ...]
    _margins: tuple[int, int, int, int]

    @property
    def is_global(self) -> bool:
        """Tell whether the output depends on the whole window."""
        return bool(self.operations)

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """Pixels at the top, bottom, left and right that a window loses.

        Raises:
            GlobalNetworkError: there are none, because of operations that the message names.
        """
        if self.is_global:
            raise GlobalNetworkError(self.operations)
        return self._margins


def field(
    fun: Callable[..., Tree],
    params: Tree,
    sources: Given,
    *,
    dims: str = "byxc",
    ratios: Given = None,
) -> Field:
    """Find the field of a network from its program; nothing is computed but small constants.

    The program is followed equation by equation: what its elements depend on, not gradients, which
    vanish where a ReLU is off. Convolutions, pooling, resizing, padding, pixel shuffles, windows
    and loops are followed exactly; an operation that is not known counts as global.

    Args:
        fun: the network, `fun(params, *sources)`, which returns one array.
        params: its parameters.
        sources: the sources, arrays or `jax.ShapeDtypeStruct`s [batch, y, x, band], in the order of
            the arguments, or a mapping of names to them. Their size is that of some scene; it need
            not be larger than the field.
        dims: how they lie, `"byxc"` or `"bcyx"`; the output likewise.
        ratios: for each source how many pixels of the scene one of its pixels is wide; by default
            as many as the sizes say.

    Returns:
        The field.

    Raises:
        ValueError: the sources or the output do not have these dimensions.

    Examples:
        Three convolutions of 3 x 3 look 3 pixels far:

        >>> import jax, jax.numpy as jnp
        >>> from jax import lax
        >>> def network(kernel, x):
        ...     for _ in range(3):
        ...         x = lax.conv_general_dilated(
        ...             x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ...         )
        ...     return x
        >>> found = field(network, jnp.ones((3, 3, 1, 1)), [jnp.ones((1, 32, 32, 1))])
        >>> found.margins, found.stride
        ((3, 3, 3, 3), (1, 1))

    References:
        Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks", Distill
        2019: margins and strides of chains; here of any program.
    """
    given = list(sources.values()) if isinstance(sources, Mapping) else list(sources)
    if dims not in PLAIN:
        raise ValueError(f"dims={dims!r} is not known; pass 'byxc' or 'bcyx'")
    for value in given:
        if np.ndim(value) != 4:
            raise ValueError(f"sources are [{', '.join(dims)}], got {list(np.shape(value))}")
    both = []
    for d in map(dims.index, AXES):
        sizes = [np.shape(value)[d] for value in given]
        scales = [max(sizes) // size for size in sizes] if ratios is None else list(ratios)
        both.append(_Program(fun, params, given, d, scales).found())
    operations = tuple(dict.fromkeys(op for _, _, ops in both for op in ops))
    (strides, margins, _) = zip(*both, strict=True)
    return Field((strides[0], strides[1]), operations, (*margins[0], *margins[1]))


@dataclass(frozen=True)
class _Program:
    """A network along one axis of its sources.

    Attributes:
        fun, params: the network.
        given: its sources.
        dim: their dimension in which the axis runs.
        scales: how many pixels of the scene one of their pixels is wide.
    """

    fun: Callable[..., Tree]
    params: Tree
    given: Sequence[Given]
    dim: int
    scales: Sequence[int]

    def found(self) -> tuple[int, tuple[int, int], list[Operation]]:
        """Find stride, margins and global operations.

        The program is read at growing sizes until the margins stay the same: in a small scene a
        wide network depends on all of it, as a global one does in any.
        """
        widths = zip(self.given, self.scales, strict=True)
        size = max(np.shape(value)[self.dim] * scale for value, scale in widths)
        before = self.read(size)
        while True:
            stride, margins = before.walk.shifts.stride, before.margins()
            if before.walk.blocked:
                return stride, (0, 0), before.walk.blocked
            unit = int(np.lcm.reduce([stride, *self.scales]))
            growth = 3 if margins is None else 1
            size += growth * unit * ceil(size / unit)
            try:
                after = self.read(size)
            except (TypeError, ValueError):  # a network that takes windows of one size alone
                if margins is not None and sum(margins) + stride < before.size:
                    return stride, margins, []
                return stride, (0, 0), [before.widest("depends on the whole window")]
            if margins is not None and margins == after.margins():
                return stride, margins, []
            if after.walk.blocked or size >= LARGEST:
                return stride, (0, 0), after.walk.blocked or after.grown(before)
            before = after

    def read(self, size: int) -> _Reading:
        """Read the program for a scene of a size along the axis."""
        shapes = []
        for value, scale in zip(self.given, self.scales, strict=True):
            shape = list(np.shape(value))
            shape[self.dim] = size // scale
            shapes.append(jax.ShapeDtypeStruct(shape, value.dtype))
        closed = jax.make_jaxpr(lambda *sources: self.fun(self.params, *sources))(*shapes)
        if len(closed.out_avals) != 1 or np.ndim(closed.out_avals[0]) != 4:
            shown = [str(aval) for aval in closed.out_avals]
            raise ValueError(f"the network must return one array of four dimensions, got {shown}")
        walk = Walk()
        sources = [
            Reach.source(4, self.dim, shape.shape[self.dim], scale)
            for shape, scale in zip(shapes, self.scales, strict=True)
        ]
        (result,) = walk.run(closed, sources)
        reach = result if isinstance(result, Reach) else Reach.nothing(4)
        return _Reading(walk, reach, self.dim, closed.out_avals[0].shape[self.dim], size)


@dataclass
class _Reading:
    """A program, read at one size along one axis."""

    walk: Walk
    reach: Reach
    dim: int
    elements: int
    size: int

    def margins(self) -> tuple[int, int] | None:
        """The outputs at both ends that depend on what is beyond; None if none depends on a place.

        One period of outputs in the middle stands for all others.
        """
        stride, step = self.walk.shifts.stride, self.reach.steps.get(self.dim)
        if step is None or step <= 0:
            return None
        across = tuple(i for i in range(self.reach.lo.ndim) if i != self.dim)
        lo, hi = self.reach.lo.min(across), self.reach.hi.max(across)
        offset = max(self.size - int(self.elements * step), 0) // 2
        places = offset + np.arange(self.elements) * step.numerator // step.denominator
        phases = max(int(stride / step), 1)
        first = max((self.elements - phases) // 2, 0)
        middle = np.arange(first, min(first + phases, self.elements))
        # The last output, at this phase, that looks above 0; the first that looks below the end.
        above = places[middle] - ((lo[middle] // stride) + 1) * stride
        below = places[middle] + -((hi[middle] - self.size) // stride) * stride
        top = max(offset, int(above.max()) + 1)
        bottom = max(offset, self.size - int(below.min()))
        # At the border outputs may look further inwards than elsewhere: reflected padding does.
        turns, phase = np.divmod(np.arange(self.elements) - first, phases)
        usual = np.minimum(first + phase, self.elements - 1)
        deeper = hi > hi[usual] + turns * stride, lo < lo[usual] + turns * stride
        bottom = max(bottom, int(((hi - places) * deeper[0]).max()))
        top = max(top, int(((places - lo) * deeper[1]).max()))
        return top, bottom

    def widest(self, reason: str) -> Operation:
        """The operation that looks furthest."""
        op, _ = max(self.walk.widths, key=lambda each: each[1])
        return Operation(op.primitive, op.source, reason)

    def grown(self, before: _Reading) -> list[Operation]:
        """The first operation that looks further in a larger scene."""
        each = zip(before.walk.widths, self.walk.widths, strict=False)
        more = (self.size - before.size) // 2
        found = [op for (_, a), (op, b) in each if b - a >= more]
        return found[:1] or [self.widest("depends on places far away")]

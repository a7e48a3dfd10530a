"""Cut a scene into windows, and its map into the tiles that they give.

A map is cut into tiles, which are written one by one. A tile is made of views: parts of the outputs
of windows. All windows of a map have one size, so there is one compiled program.

    trimmed   one window a tile, its margins left out: equal to the whole scene
    blended   windows that overlap, averaged with weights that fall towards their edges
    patches   one window per pixel of a coarser map, for networks that classify a whole window

All axes are independent: a tile is a piece of y times a piece of x.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from rfp_jax.maps._errors import SceneError


@dataclass(frozen=True)
class View:
    """A part of a window's output along an axis.

    Attributes:
        origin: the first pixel of the window in the scene.
        start, stop: the part of the map.
        offset: where that part begins in the window's output.
        weights: [stop - start]; None for 1.
    """

    origin: int
    start: int
    stop: int
    offset: int
    weights: np.ndarray | None = None

    def weight(self) -> np.ndarray:
        """The weights, as an array."""
        return np.ones(self.stop - self.start) if self.weights is None else self.weights


@dataclass(frozen=True)
class Piece:
    """A part of the map along an axis, and the views of which it is made."""

    start: int
    stop: int
    views: tuple[View, ...]


@dataclass(frozen=True)
class Axis:
    """An axis of a map.

    Attributes:
        size: pixels of the map.
        tile: pixels of a piece; the last one may have fewer.
        window: pixels of the scene in a window.
        pieces: its parts.
    """

    size: int
    tile: int
    window: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Tile:
    """A tile of a map.

    Attributes:
        y, x: its pieces.
        window: pixels of its windows.
    """

    y: Piece
    x: Piece
    window: tuple[int, int]

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns of the map."""
        return slice(self.y.start, self.y.stop), slice(self.x.start, self.x.stop)

    @property
    def block(self) -> tuple[slice, slice]:
        """The rows and columns of the scene that all its windows cover."""
        each = zip((self.y, self.x), self.window, strict=True)
        rows, columns = (
            slice(min(v.origin for v in piece.views), max(v.origin for v in piece.views) + window)
            for piece, window in each
        )
        return rows, columns

    @property
    def views(self) -> list[tuple[View, View]]:
        """All views, in y and x."""
        return [(y, x) for y in self.y.views for x in self.x.views]


@dataclass(frozen=True)
class Plan:
    """The tiles of a map."""

    y: Axis
    x: Axis

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of the map."""
        return self.y.size, self.x.size

    @property
    def tile(self) -> tuple[int, int]:
        """Pixels of a tile."""
        return self.y.tile, self.x.tile

    @property
    def window(self) -> tuple[int, int]:
        """Pixels of a window."""
        return self.y.window, self.x.window

    def __len__(self) -> int:
        return len(self.y.pieces) * len(self.x.pieces)

    def __getitem__(self, i: int) -> Tile:
        row, column = divmod(i, len(self.x.pieces))
        return Tile(self.y.pieces[row], self.x.pieces[column], self.window)


def trimmed(size: int, tile: int, before: int, after: int, stride: int) -> Axis:
    """Cut an axis into tiles of windows whose margins are left out.

    Args:
        size: pixels of the scene.
        tile: pixels of a tile, a multiple of the stride; may be more than the scene has.
        before: margin at the beginning of a window.
        after: margin at its end.
        stride: the network's total stride.

    Examples:
        >>> axis = trimmed(100, 32, before=3, after=4, stride=8)
        >>> axis.window, [piece.views[0].origin for piece in axis.pieces]
        (44, [0, 24, 56, 56])
    """
    if tile >= size:
        return Axis(size, size, size, (Piece(0, size, (View(0, 0, size, 0),)),))
    check_origin(tile, stride)
    lead = ceil(before / stride) * stride
    least = tile + lead + after
    return _side_by_side(size, tile, min(least + (size - least) % stride, size), lead)


def fixed(size: int, window: int, margin: int) -> Axis:
    """Cut an axis into tiles of windows of a given size, with a margin left out on both sides.

    Raises:
        SceneError: the scene is smaller than the window, or nothing of a window is left.
    """
    check_fits(size, window)
    if window - 2 * margin < 1:
        raise SceneError(f"a margin of {margin} pixels leaves nothing of a window of {window}")
    tile = window - 2 * margin
    return _side_by_side(size, size if window == size else tile, window, margin)


def blended(size: int, window: int, overlap: float, tile: int) -> Axis:
    """Cover an axis with windows that overlap, and cut it into tiles.

    Weights fall linearly from the middle of a window to its edges, where they are not quite 0.

    Args:
        size: pixels of the scene.
        window: pixels of a window.
        overlap: the part of a window that the next one covers too, from 0 to less than 1.
        tile: pixels of a tile.
    """
    check_fits(size, window)
    if not 0 <= overlap < 1:
        raise SceneError(f"blend must be from 0 to less than 1, got {overlap}")
    step = max(round(window * (1 - overlap)), 1)
    origins = sorted({*range(0, size - window, step), size - window})
    weights = (window / 2 - abs(np.arange(window) + 0.5 - window / 2)) / (window / 2)

    def piece(start: int) -> Piece:
        stop = min(start + tile, size)
        views = []
        for origin in origins:
            first, last = max(start, origin), min(stop, origin + window)
            if first < last:
                own = weights[first - origin : last - origin]
                views.append(View(origin, first, last, first - origin, own))
        return Piece(start, stop, tuple(views))

    return Axis(size, tile, window, tuple(map(piece, range(0, size, tile))))


def patches(size: int, window: int, stride: int, tile: int) -> Axis:
    """One window for each pixel of a map of the stride's resolution.

    Examples:
        >>> axis = patches(64, window=16, stride=8, tile=4)
        >>> axis.size, [(view.origin, view.start) for view in axis.pieces[1].views]
        (7, [(32, 4), (40, 5), (48, 6)])
    """
    check_fits(size, window)
    if stride < 1:
        raise SceneError(f"stride must be at least 1, got {stride}")
    count = (size - window) // stride + 1

    def piece(start: int) -> Piece:
        stop = min(start + tile, count)
        return Piece(start, stop, tuple(View(i * stride, i, i + 1, 0) for i in range(start, stop)))

    return Axis(count, tile, window, tuple(map(piece, range(0, count, tile))))


def check_origin(origin: int, stride: int) -> None:
    """Refuse a window that begins at another phase of the stride than the scene.

    Raises:
        SceneError: says where it may begin.
    """
    if origin % stride:
        raise SceneError(
            f"a window at pixel {origin} is out of phase: the network's stride is {stride}, so its "
            f"windows begin at multiples of {stride}, such as {origin // stride * stride}"
        )


def check_fits(size: int, window: int) -> None:
    """Refuse a scene that is smaller than a window.

    Raises:
        SceneError: says so.
    """
    if window < 1 or size < window:
        raise SceneError(
            f"the scene has {size} pixels along an axis, the window {window}: choose a smaller "
            "window=, or a larger scene"
        )


def _side_by_side(size: int, tile: int, window: int, lead: int) -> Axis:
    """One window for each tile, shifted inwards at the edges."""

    def pieces() -> Iterator[Piece]:
        for start in range(0, size, tile):
            stop, origin = min(start + tile, size), min(max(start - lead, 0), size - window)
            yield Piece(start, stop, (View(origin, start, stop, start - origin),))

    return Axis(size, tile, window, tuple(pieces()))

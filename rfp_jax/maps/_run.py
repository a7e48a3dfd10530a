"""The work: read blocks ahead, explain their windows on all devices, put tiles together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import jax
import numpy as np

from rfp_jax.maps._explain import Compiled
from rfp_jax.maps._layout import Layout
from rfp_jax.maps._scene import Scene
from rfp_jax.maps._tiles import Plan, Tile, View

AHEAD = 2
"""So many blocks beyond those on the devices are read ahead."""

Item = TypeVar("Item")

Done = tuple[int, dict[str, np.ndarray], dict[str, float]]
"""The number of a tile, its variables, and what was counted in it."""


@dataclass(frozen=True)
class Work:
    """Everything that a tile needs.

    Attributes:
        scene: the sources.
        plan: the tiles.
        compiled: explains a batch of windows.
        layout: the variables.
        batch: windows that a device explains at once.
    """

    scene: Scene
    plan: Plan
    compiled: Compiled
    layout: Layout
    batch: int

    def tiles(self, todo: Sequence[int]) -> Iterator[Done]:
        """Compute tiles, in order.

        Devices work while results of earlier windows are put in their places.
        """
        running: deque[tuple[tuple[_Group, ...], tuple[jax.Array, jax.Array]]] = deque()
        with ThreadPoolExecutor(1 + self.compiled.devices) as readers:
            for groups in batched(self._groups(todo, readers), self.compiled.devices):
                running.append((groups, self.compiled(self._inputs(groups))))
                if len(running) > 1:
                    yield from self._collect(*running.popleft())
            while running:
                yield from self._collect(*running.popleft())

    def _groups(self, todo: Sequence[int], readers: ThreadPoolExecutor) -> Iterator[_Group]:
        """Cut the views of each tile into batches, so that a tile does not depend on the others."""
        for canvas in self._canvases(todo, readers):
            for views in batched(canvas.tile.views, self.batch):
                yield canvas, views

    def _canvases(self, todo: Sequence[int], readers: ThreadPoolExecutor) -> Iterator[_Canvas]:
        """Read the blocks of tiles, some ahead."""
        waiting: deque[tuple[int, Future[tuple[list[np.ndarray], np.ndarray]]]] = deque()
        left = iter(todo)
        try:
            while True:
                while len(waiting) < AHEAD + self.compiled.devices:
                    if (i := next(left, None)) is None:
                        break
                    waiting.append((i, readers.submit(self.scene.read, *self.plan[i].block)))
                if not waiting:
                    return
                i, block = waiting.popleft()
                inputs, bits = block.result()
                yield _Canvas(i, self.plan[i], inputs, bits)
        finally:
            for _, block in waiting:
                block.cancel()

    def _inputs(self, groups: Sequence[_Group]) -> list[np.ndarray]:
        """Cut the windows of one batch per device; the last ones are repeated to fill them."""
        wanted = [self._windows(*group) for group in groups]
        wanted += [wanted[-1]] * (self.compiled.devices - len(wanted))
        return [np.concatenate(each) for each in zip(*wanted, strict=True)]

    def _windows(self, canvas: _Canvas, views: Sequence[tuple[View, View]]) -> list[np.ndarray]:
        rows, columns = canvas.tile.block
        found = []
        for layer, given in zip(self.scene.layers, canvas.inputs, strict=True):
            ratio, dims = layer.source.ratio, layer.dims
            height, width = (n // ratio for n in self.plan.window)
            cuts = []
            for y, x in views:
                top, left = (y.origin - rows.start) // ratio, (x.origin - columns.start) // ratio
                place = slice(top, top + height), slice(left, left + width)
                cuts.append(given[0][place] if dims == "byxc" else given[0][(slice(None), *place)])
            cuts += [cuts[-1]] * (self.batch - len(cuts))
            found.append(np.stack(cuts))
        return found

    def _collect(self, groups: Sequence[_Group], results: Sequence[jax.Array]) -> Iterator[Done]:
        relevance, output = (np.asarray(result) for result in results)
        for first, (canvas, views) in enumerate(groups):
            for k, (y, x) in enumerate(views, first * self.batch):
                canvas.add(y, x, relevance[k], output[k])
            if canvas.is_complete:
                yield self._finished(canvas)

    def _finished(self, canvas: _Canvas) -> Done:
        relevance, output = canvas.averages()
        bits = self._bits(canvas)
        void = self.scene.is_void(bits)
        values = self.layout.finish(relevance, output, bits, void)
        parts, explained = values["relevance"], values["output"]
        axis = self.layout.variables["relevance"].dims.index("source")
        with np.errstate(invalid="ignore"):
            apart = np.abs(parts.astype(np.float64).sum(axis) - explained)
        finite = np.isfinite(apart)
        scale = np.abs(explained[finite]).max(initial=0.0)
        counts = {
            "pixels": int(void.size),
            "void": int(void.sum()),
            "nonfinite": int((~finite & ~void).sum()),
            "residual": float(apart[finite].max(initial=0.0) / scale) if scale else 0.0,
        }
        return canvas.number, values, counts

    def _bits(self, canvas: _Canvas) -> np.ndarray:
        """The valid sources of each pixel; of a patch, those valid all over its window."""
        if self.plan.shape == self.scene.grid.shape:
            rows, columns = canvas.tile.block
            y, x = (
                slice(s.start - first.start, s.stop - first.start)
                for s, first in zip(canvas.tile.place, (rows, columns), strict=True)
            )
            return canvas.bits[y, x]
        (rows, columns), (height, width) = canvas.tile.block, self.plan.window
        windows = np.lib.stride_tricks.sliding_window_view(canvas.bits, (height, width))
        y = [view.origin - rows.start for view in canvas.tile.y.views]
        x = [view.origin - columns.start for view in canvas.tile.x.views]
        return np.bitwise_and.reduce(windows[np.ix_(y, x)], axis=(2, 3))


def batched(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Cut items into batches; the last one may be smaller."""
    left = iter(items)
    while batch := tuple(islice(left, size)):
        yield batch


class _Canvas:
    """A tile that is being put together from its views."""

    def __init__(self, number: int, tile: Tile, inputs: list[np.ndarray], bits: np.ndarray):
        self.number, self.tile, self.inputs, self.bits = number, tile, inputs, bits
        self._left = len(tile.views)
        self._sums: list[np.ndarray] = []
        self._weight: np.ndarray | None = None

    @property
    def is_complete(self) -> bool:
        """Tell whether every view is in its place."""
        return self._left == 0

    def add(self, y: View, x: View, *results: np.ndarray) -> None:
        """Put what a window gave in its place, with its weights."""
        rows, columns = self.tile.place
        shape = rows.stop - rows.start, columns.stop - columns.start
        inside = tuple(slice(v.offset, v.offset + v.stop - v.start) for v in (y, x))
        at = (
            slice(y.start - rows.start, y.stop - rows.start),
            slice(x.start - columns.start, x.stop - columns.start),
        )
        whole = y.weights is None and x.weights is None
        if not self._sums:
            kind = results[0].dtype if whole else np.float64
            self._sums = [np.zeros((*r.shape[:-2], *shape), kind) for r in results]
            self._weight = None if whole else np.zeros(shape)
        weight = None if whole else np.outer(y.weight(), x.weight())
        for total, result in zip(self._sums, results, strict=True):
            part = result[(..., *inside)]
            if weight is None:
                total[(..., *at)] = part
            else:
                total[(..., *at)] += weight * part
        if weight is not None and self._weight is not None:
            self._weight[at] += weight
        self._left -= 1

    def averages(self) -> list[np.ndarray]:
        """Relevance and output, with the weights they were blended with divided out."""
        if self._weight is None:
            return self._sums
        return [total / self._weight for total in self._sums]


_Group = tuple[_Canvas, tuple[tuple[View, View], ...]]
"""Views of a tile that a device explains at once."""

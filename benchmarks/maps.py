"""Relevance of every pixel: `python -m benchmarks.maps`.

A U-Net of two sources, 256 x 256 pixels, 6 classes: all outputs of both sources forwards, beside
the forward pass and what else gives such numbers. Everything takes turns in one run, so that only
ratios are compared. One backward pass for each output is timed on one and counted for all.

Then memory by the number of sources, and a scene on the disk beside the same windows in memory.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rasterio
import torch
import tyro
from captum.attr import InputXGradient
from rasterio.transform import from_origin
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

import rfp_jax
from benchmarks.speed.timing import interleave, ratios
from benchmarks.speed.unet import CLASSES, DEPTH, kernels, unet
from rfp_jax import maps
from rfp_jax.maps._explain import Compiled, Network

SIDE = 256
SAMPLED = (128, 100, 2)
"""Row, column and class of the output that is explained backwards."""


def twin(params: Sequence[jax.Array]) -> Callable[..., torch.Tensor]:
    """The same network in PyTorch, channels first."""
    weights = [torch.tensor(np.transpose(k, (3, 2, 0, 1)).copy()) for k in params]

    def forward(*sources: torch.Tensor) -> torch.Tensor:
        left = iter(weights)
        x, skips = torch.cat(sources, 1), []
        for depth in range(DEPTH + 1):
            if depth:
                skips.append(x)
                x = F.max_pool2d(x, 2)
            for _ in range(2):
                x = F.relu(F.conv2d(x, next(left), padding=1))
        for skip in reversed(skips):
            x = torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], 1)
            for _ in range(2):
                x = F.relu(F.conv2d(x, next(left), padding=1))
        return F.conv2d(x, next(left))

    return forward


def contestants(console: Console) -> dict[str, tuple[Callable[[], object], int]]:
    """Everything that gives the relevance of two sources, and how often it must run for all of it.

    Answers are compared before anything is timed.
    """
    params = kernels(12)
    draw = np.random.default_rng(1)
    sources = [jnp.asarray(draw.normal(size=(1, SIDE, SIDE, n)), jnp.float32) for n in (10, 2)]
    options = rfp_jax.compiler_options()
    zeros = list(map(jnp.zeros_like, sources))

    def compiled(fun: Callable[..., Any], chosen: dict[str, Any]) -> Callable[[], Any]:
        run = jax.jit(fun, compiler_options=chosen)
        return lambda: jax.block_until_ready(run(params, *sources))

    def linearized(params: Any, *sources: jax.Array) -> Any:
        output, push = jax.linearize(lambda *x: unet(params, *x), *sources)
        alone = [[x if i == k else zeros[i] for i, x in enumerate(sources)] for k in range(2)]
        return output, [push(*each) for each in alone]

    def occluded(params: Any, *sources: jax.Array) -> Any:
        output = unet(params, *sources)
        without = [[zeros[i] if i == k else x for i, x in enumerate(sources)] for k in range(2)]
        return output, [output - unet(params, *each) for each in without]

    def backward(params: Any, *sources: jax.Array) -> Any:
        y, x, k = SAMPLED
        both = jax.grad(lambda s: unet(params, *s)[0, y, x, k])(list(sources))
        return [(s * g).sum() for s, g in zip(sources, both, strict=True)]

    explain = rfp_jax.relevance(unet, argnums=(1, 2))
    runs = {
        "forward pass, default options": (compiled(unet, {}), 1),
        "forward pass, the library's options": (compiled(unet, options), 1),
        "rfp_jax.relevance, all outputs": (compiled(explain, options), 1),
        "jax.linearize, a push per source": (compiled(linearized, options), 1),
        "occlusion, S + 1 passes": (compiled(occluded, options), 1),
        "a backward pass per output": (compiled(backward, options), SIDE * SIDE * CLASSES),
    }
    rel = runs["rfp_jax.relevance, all outputs"][0]()
    y, x, k = SAMPLED
    own = [float(part[0, y, x, k]) for part in rel.sources]
    _, pushed = runs["jax.linearize, a push per source"][0]()
    forwards = [float(part[0, y, x, k]) for part in pushed]
    backwards = list(map(float, runs["a backward pass per output"][0]()))
    module = _Module(twin(params))
    tensors = [torch.tensor(np.moveaxis(np.asarray(s), -1, 1).copy()) for s in sources]
    attribute = InputXGradient(module).attribute
    captum = [float(a.sum()) for a in attribute(tuple(tensors), target=(k, y, x))]
    runs["Captum InputXGradient, PyTorch, per output"] = (
        lambda: attribute(tuple(tensors), target=(k, y, x)),
        SIDE * SIDE * CLASSES,
    )
    for name, other in (("linearize", forwards), ("backwards", backwards), ("Captum", captum)):
        apart = max(abs(a - b) for a, b in zip(own, other, strict=True)) / max(map(abs, own))
        console.print(f"one output, {name} beside ours: {apart:.1e} apart")
        if apart > 1e-3:
            raise SystemExit(f"{name} gives {other}, ours {own}")
    return runs


class _Module(torch.nn.Module):
    def __init__(self, fun: Callable[..., torch.Tensor]):
        super().__init__()
        self.fun = fun

    def forward(self, *sources: torch.Tensor) -> torch.Tensor:
        return self.fun(*sources)


def speed(console: Console, rounds: int, seconds: float) -> None:
    """Print the times of all contestants as multiples of the best forward pass."""
    runs = contestants(console)
    times = interleave({n: run for n, (run, _) in runs.items()}, rounds=rounds, seconds=seconds)
    best = min(list(times)[:2], key=lambda name: np.median(times[name]))
    table = Table(box=MARKDOWN)
    for column in ("", "one run", "in best forward passes", "all outputs"):
        table.add_column(column, justify="left" if not column else "right")
    for name, (_, count) in runs.items():
        once = float(np.median(times[name]))
        turns = min(len(times[name]), len(times[best]))
        ratio = float(np.median(ratios(times[name][:turns], times[best])))
        table.add_row(name, f"{once:.3f} s", f"{ratio:.2f}", _duration(once * count))
    console.print(table)


def memory(console: Console) -> None:
    """Print what XLA needs for one window, by the number of sources."""
    table = Table(box=MARKDOWN)
    for column in ("sources", "a window of 256 x 256", "a pixel"):
        table.add_column(column, justify="right")
    for count in (1, 2, 4, 8):
        network = Network(unet, kernels(2 * count), count, (), "byxc", "lrp0", "keep", False)
        shapes = (jax.ShapeDtypeStruct((1, SIDE, SIDE, 2), np.float32),) * count
        need = Compiled(network, None, shapes, jax.devices()[:1]).bytes
        table.add_row(str(count), f"{need / 2**20:.0f} MiB", f"{need / SIDE**2 / 1024:.1f} KiB")
    console.print(table)


@dataclass(frozen=True)
class Tiles:
    """Seconds of a scene, and of the same windows in memory.

    Attributes:
        count: tiles of the scene.
        window: height and width of a tile's window.
        memory: all windows, explained in memory.
        whole: the scene, files to zarr.
        one: one tile of it; tracing, compiling and hashing are in both.
    """

    count: int
    window: tuple[int, int]
    memory: float
    whole: float
    one: float

    @property
    def further(self) -> float:
        """Seconds of all tiles but one, files to zarr."""
        return self.whole - self.one

    @property
    def speed(self) -> float:
        """The speed of further tiles, beside windows in memory."""
        return self.memory * (self.count - 1) / self.count / self.further


def tiles(side: int, tile: int, rounds: int = 3) -> Tiles:
    """Time a random scene of the U-Net, disk to disk, and the same windows in memory.

    Args:
        side: pixels a side of the scene.
        tile: pixels a side of its tiles.
        rounds: how many turns each gets; the quickest counts.
    """
    params, draw = kernels(12), np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as folder:
        place = {"crs": "EPSG:32633", "transform": from_origin(600000, 5200000, 10, 10)}
        for name, bands in (("S2", 10), ("S1", 2)):
            values = draw.normal(size=(bands, side, side)).astype(np.float32)
            with rasterio.open(
                f"{folder}/{name}.tif", "w", driver="GTiff", height=side, width=side, count=bands,
                dtype="float32", tiled=True, **place,
            ) as file:  # fmt: skip
                file.write(values)
        sources = {"optical": f"{folder}/S2.tif", "sar": f"{folder}/S1.tif"}
        options = {"tile": tile, "progress": False}
        once = maps.relevance(unet, params, sources, f"{folder}/first.zarr", **options)
        (height, width) = map(int, once.attrs["window"].strip("[]").split(","))
        network = Network(unet, params, 2, (), "byxc", "lrp0", "keep", False)
        shapes = tuple(
            jax.ShapeDtypeStruct((1, height, width, bands), np.float32) for bands in (10, 2)
        )
        program = Compiled(network, None, shapes, jax.devices()[:1])
        inputs = [draw.normal(size=s.shape).astype(np.float32) for s in shapes]
        count = (-(-side // tile)) ** 2
        corner = (600000, 5200000 - 10 * tile, 600000 + 10 * tile, 5200000)

        def windows() -> None:
            for _ in range(count):
                jax.block_until_ready(program(inputs))

        def mapped(region: tuple[float, float, float, float] | None) -> None:
            path = f"{folder}/again.zarr"
            maps.relevance(unet, params, sources, path, region=region, overwrite=True, **options)

        runs = {"memory": windows, "all": lambda: mapped(None), "one": lambda: mapped(corner)}
        for run in runs.values():
            run()
        times = interleave(runs, rounds=rounds, seconds=1.0)
    in_memory, whole, one = (float(np.min(times[name])) for name in runs)
    return Tiles(count, (height, width), in_memory, whole, one)


def scene(console: Console, side: int, tile: int) -> None:
    """Print the time of a scene, disk to disk, beside that of the same windows in memory."""
    found = tiles(side, tile)
    height, width = found.window
    console.print(
        f"{found.count} windows of {height} x {width}: {found.memory:.1f} s in memory; the scene "
        f"of {side} x {side}, files to zarr: {found.whole:.1f} s, one tile of it {found.one:.1f} s"
    )
    console.print(f"speed of further tiles, beside windows in memory: {found.speed:.2f}")


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 600 else f"{seconds / 3600:,.0f} hours"


def main(rounds: int = 9, seconds: float = 120.0, side: int = 1024, tile: int = 256) -> int:
    """Time relevance of every pixel.

    Args:
        rounds: how many turns each contestant gets, if the time suffices.
        seconds: about how long all turns may take.
        side: pixels a side of the scene.
        tile: pixels a side of its tiles.
    """
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    speed(console, rounds, seconds)
    memory(console)
    scene(console, side, tile)
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))

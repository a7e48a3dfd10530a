"""`rfp-jax map`: relevance of every pixel of a scene, from files to files."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from rfp_jax._runs import processes
from rfp_jax._util.extras import needs_extra
from rfp_jax._util.trees import Tree
from rfp_jax.convert import ConversionError, load
from rfp_jax.maps._cog import to_cog
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._inspect import inspect
from rfp_jax.maps._relevance import relevance
from rfp_jax.maps._scene import Prepare
from rfp_jax.maps._source import Source
from rfp_jax.maps._summary import summarize
from rfp_jax.tables import TableInUseError, TableMismatchError, join

with needs_extra("The command", extra="maps"):
    import tyro
    from rich.console import Console

Named = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
"""NAME=VALUE, given as often as there are names."""


@dataclass(frozen=True)
class Map:
    """Compute how much of a network's output at every pixel came from each source.

    The map is written to OUT, zarr, tile by tile; the same command goes on after a crash.

    Attributes:
        network: what `rfp-jax convert` wrote, or an .onnx file.
        source: NAME=FILE, in the order of the network's inputs; the first one gives the grid.
        out: folder to write.
        bands: NAME=1,2,3: bands of a source, by number or description, in the network's order.
        ratio: NAME=2: pixels of the first source that a pixel of this one is wide, for networks
            that take several resolutions as they are.
        times: NAME=12: dates that the bands of a source hold, date by date, for networks that take
            them as an axis behind the batch.
        classes: file with a class per line, in the network's order; a color (#rrggbb) may follow.
        statistics: JSON file with the mean and std of each band that the network was trained on,
            {"NAME": {"mean": [...], "std": [...]}}.
        outputs: what is explained at each pixel: the greatest output, or all.
        scale: what to do with stored values where files declare a scale: apply, or raw.
        nodata: sources that void a pixel where they are missing: reference, any, all, or a name.
        resampling: how sources on other grids are warped.
        dims: how the network takes and returns scenes; converted networks are channels first.
        window: height and width that the network takes, where it takes one size alone.
        margin: pixels that such a window loses at each side, where the network is global.
        blend: the part of a window that the next one covers, to average them.
        stride: pixels from one window to the next, for networks that classify whole windows.
        tile: pixels a side that are written together; by default as many as fit the memory.
        rules: the rules of propagation.
        region: left, bottom, right, top in the first source's coordinate system.
        max_bytes: memory that a window may take.
        cog: folder for GeoTIFFs of the map, too.
        inspect: show what there is in the sources, and compute nothing.
        overwrite: remove a map that is at OUT.
        progress: show a bar.
    """

    network: Path
    source: Named
    out: Path
    bands: Named = ()
    ratio: Named = ()
    times: Named = ()
    classes: Path | None = None
    statistics: Path | None = None
    outputs: Literal["argmax", "all"] = "argmax"
    scale: Literal["apply", "raw"] | None = None
    nodata: str = "reference"
    resampling: str = "bilinear"
    dims: Literal["bcyx", "byxc"] = "bcyx"
    window: tuple[int, int] | None = None
    margin: int | None = None
    blend: float | None = None
    stride: tuple[int, int] | None = None
    tile: int | None = None
    rules: str = "lrp0"
    region: tuple[float, float, float, float] | None = None
    max_bytes: int | None = None
    cog: Path | None = None
    inspect: bool = False
    overwrite: bool = False
    progress: bool = True


def main(arguments: Sequence[str] | None = None, prog: str = "rfp-jax map") -> int:
    """Run the command.

    Args:
        arguments: of the command line; None takes this process's.
        prog: what help calls the command.

    Returns:
        The exit status: 0, or 1 after an error that was printed.
    """
    given = tyro.cli(Map, prog=prog, args=arguments)
    # Like Ctrl-C, a request to stop must unwind the stack, so that the lock is released.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        join()
        _map(given)
    except (
        SceneError, TableInUseError, TableMismatchError, ConversionError, OSError, ValueError,
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(note, file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        notes = "; ".join(getattr(error, "__notes__", ["nothing was written"]))
        print(f"interrupted: {notes}", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _map(given: Map) -> None:
    console = Console(highlight=False)
    sources, prepare = _sources(given), _prepare(given.statistics)
    if given.inspect:
        console.print(str(inspect(sources, prepare=prepare)), markup=False, soft_wrap=True)
        return
    fun, params = _network(given.network)
    scene = relevance(
        fun,
        params,
        sources,
        given.out,
        classes=None if given.classes is None else read_classes(given.classes),
        outputs=given.outputs,
        tile="auto" if given.tile is None else given.tile,
        margin="auto" if given.margin is None else given.margin,
        window=given.window,
        blend=given.blend,
        stride=given.stride,
        prepare=prepare,
        nodata=given.nodata,
        resampling=given.resampling,
        scale=given.scale,
        rules=given.rules,
        region=given.region,
        max_bytes=given.max_bytes,
        overwrite=given.overwrite,
        progress=given.progress,
    )
    if not processes.is_first():
        return
    summary = summarize(scene)
    console.print(summary.table())
    if summary.void:
        console.print(f"{summary.void:,} pixels have no data")
    files = [] if given.cog is None else to_cog(scene, given.cog)
    console.print(f"map: {given.out}", markup=False, soft_wrap=True)
    if given.cog is not None:
        names = ", ".join(path.name for path in files)
        console.print(f"GeoTIFFs: {given.cog} ({names})", markup=False, soft_wrap=True)


def _network(path: Path) -> tuple[Callable[..., Tree], Tree]:
    if path.suffix == ".onnx":
        from rfp_jax.convert import from_onnx

        return from_onnx(path)
    return load(path)


def _sources(given: Map) -> dict[str, Source]:
    """The sources, of what the command line says of each."""
    paths = _named("--source", given.source)
    bands, ratios = _named("--bands", given.bands), _named("--ratio", given.ratio)
    times = _named("--times", given.times)
    if unknown := sorted({*bands, *ratios, *times} - {*paths}):
        raise SceneError(f"--bands, --ratio or --times of {unknown}, which is not a --source")
    return {
        name: Source(
            path,
            bands=_list(bands[name]) if name in bands else None,
            ratio=int(ratios.get(name, 1)),
            dims=given.dims.replace("b", "bt") if name in times else given.dims,
            times=int(times[name]) if name in times else None,
        )
        for name, path in paths.items()
    }


def _named(option: str, texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value or name in found:
            raise SceneError(f"{option} is NAME=VALUE with a name of its own, got {text!r}")
        found[name] = value
    return found


def _list(text: str) -> list[int | str]:
    return [int(each) if each.isdigit() else each for each in text.split(",")]


def read_classes(path: Path) -> dict[str, str] | list[str]:
    """Read names of classes, one per line, each with a color behind it or none of them.

    Raises:
        SceneError: some have a color, and some have none.
    """
    names: dict[str, str] = {}
    for line in filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())):
        name, _, color = line.rpartition(" ")
        has_color = color.startswith("#") and bool(name)
        key, value = (name.rstrip(), color) if has_color else (line, "")
        if key in names:
            raise SceneError(f"{path} names the class {key!r} twice")
        names[key] = value
    if not any(names.values()):
        return list(names)
    if not all(names.values()):
        raise SceneError(f"{path}: give each class a color, or none: {names}")
    return names


def _prepare(path: Path | None) -> dict[str, Prepare] | None:
    """Return a function that subtracts means and divides by deviations."""
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        numbers = {
            name: (np.array(each["mean"], np.float64), np.array(each["std"], np.float64))
            for name, each in found.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SceneError(
            f'{path} must be {{"NAME": {{"mean": [...], "std": [...]}}}} ({error!r})'
        ) from error
    return {
        name: lambda values, mean=mean, std=std: (values - mean) / std
        for name, (mean, std) in numbers.items()
    }

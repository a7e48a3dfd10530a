"""From a plan to a map: in memory, or on the disk, tile by tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import lcm
from typing import TYPE_CHECKING

import jax
import numpy as np

from rfp_jax._runs import processes
from rfp_jax._runs.fingerprint import differences, identify
from rfp_jax._runs.partial import Record
from rfp_jax._util.trees import Given, Json
from rfp_jax.maps import _journal as journals
from rfp_jax.maps._explain import Compiled, Network, choose
from rfp_jax.maps._journal import Journal
from rfp_jax.maps._layout import Layout, chunk_of, class_names, nested
from rfp_jax.maps._open import open_map
from rfp_jax.maps._progress import progress
from rfp_jax.maps._run import Work
from rfp_jax.maps._scene import Scene
from rfp_jax.maps._structure import Structure, Windows, count_outputs, input_shapes, lay
from rfp_jax.tables import TableMismatchError

if TYPE_CHECKING:
    import xarray as xr

LARGEST_BATCH = 64
"""No more windows are explained at once where a tile has several."""

COUNTED = ("pixels", "void", "nonfinite")


def plan_work(
    scene: Scene, network: Network, windows: Windows, outputs: Given, classes: Given
) -> tuple[Work, Structure]:
    """Lay the network over the scene and compile it; see `relevance` for the arguments."""
    bands = _bands(scene)
    names, colors = class_names(classes, count_outputs(scene, network, bands, windows))
    chosen = choose(outputs, names)
    structure = lay(scene, network, bands, windows, network.explain(chosen))
    plan, grid, centers = structure.plan, scene.grid, scene.centers
    if windows.stride is not None and windows.window is not None:
        grid = grid.strided(windows.window, windows.stride)
        centers = grid.centers
    # Which class is greatest is known after blending: then all must be explained before.
    explained = tuple(range(len(names))) if windows.blend is not None and chosen is None else chosen
    several = max(len(plan[0].views), 1)
    devices = jax.local_devices()
    compiled = Compiled(network, explained, input_shapes(scene, bands, plan.window, 1), devices)
    batch = min(max(windows.max_bytes // max(compiled.bytes, 1), 1), LARGEST_BATCH, several)
    if batch > 1:
        shapes = input_shapes(scene, bands, plan.window, batch)
        compiled = Compiled(network, explained, shapes, devices)
    chunk = (chunk_of(plan.tile[0]), chunk_of(plan.tile[1]))
    layout = Layout(grid, centers, scene.names, names, colors, chosen, chunk)
    return Work(scene, plan, compiled, layout, batch), structure


def in_memory(work: Work, known: Mapping[str, Json], *, shown: bool) -> xr.Dataset:
    """Compute a map in memory."""
    import rioxarray  # noqa: F401
    import xarray as xr

    layout, plan = work.layout, work.plan
    arrays = {
        name: np.full(layout.shape(name), each.fill, each.dtype)
        for name, each in layout.variables.items()
    }
    records = []
    with progress(_pixels(plan.shape), 0, layout.announcement(), shown=shown) as advance:
        for i, values, counts in work.tiles(range(len(plan))):
            for name, block in values.items():
                arrays[name][(..., *plan[i].place)] = block
            records.append(counts)
            advance(counts["pixels"])
    variables = {
        name: xr.Variable(each.dims, arrays[name], each.attributes)
        for name, each in layout.variables.items()
    }
    coords = {
        name: xr.Variable(dims, np.array(values.tolist()), words)
        for name, (dims, values, words) in layout.coordinates.items()
    }
    attributes = {**identify(known), **_counted(records), "complete": 1}
    scene = xr.Dataset(variables, coords, attributes)
    for name in layout.variables:  # where rioxarray and writers look for it
        scene[name].encoding["grid_mapping"] = scene[name].attrs.pop("grid_mapping")
    return scene


def on_disk(
    journal: Journal, work: Work, known: Mapping[str, Json], overwrite: bool, *, shown: bool
) -> xr.Dataset:
    """Compute a map on the disk, or go on with one.

    Raises:
        TableMismatchError: another map stands there.
    """
    with ExitStack() as stack:
        with processes.phase():
            if overwrite and processes.is_first():
                journal.discard()
        with processes.phase():
            if journal.path.exists():
                _same(journal, journals.read_root(journal.path), known)
                return open_map(journal.path)
        with processes.phase():
            if processes.is_first():
                if begins := journal.attributes() is None:
                    journal.check_room(work.layout)
                journal.begin(stack)
                if begins:
                    journal.create(work.layout, identify(known))
        with processes.phase():
            _same(journal, journal.attributes() or {}, known)
            journal.forget_damaged(processes.chunks_of_process(range(len(work.plan))))
        with processes.phase():  # all have looked before one commits
            records = journal.committed(work.plan, thorough=False)
        todo = [i for i, record in enumerate(records) if record is None]
        mine = processes.chunks_of_process(todo)
        with processes.long_phase(journal.partial.arrived):
            _commit(journal, work, mine, records, shown=shown and processes.is_first())
        with processes.phase():
            if processes.is_first():
                records = journal.committed(work.plan, thorough=False)
                counts = [record["counts"] for record in records if record]
                journal.publish(work.plan, _counted(counts))
    return open_map(journal.path)


def _commit(
    journal: Journal,
    work: Work,
    mine: Sequence[int],
    records: Sequence[Record | None],
    *,
    shown: bool,
) -> None:
    done = sum(record["counts"]["pixels"] for record in records if record)
    places = [work.plan[i].place for i in mine]
    total = done + sum((y.stop - y.start) * (x.stop - x.start) for y, x in places)
    announcement = f"{journal.path}: {work.layout.announcement()}"
    try:
        with progress(total, done, announcement, shown=shown) as advance:
            for i, values, counts in work.tiles(mine):
                journal.commit(i, work.plan[i], work.layout, values, counts)
                advance(counts["pixels"])
    except BaseException as error:
        error.add_note(
            f"What is committed stays in {journal.partial.folder}; the same call goes on there."
        )
        raise


def _same(journal: Journal, there: Mapping[str, Json], now: Mapping[str, Json]) -> None:
    if found := differences(nested({key: there.get(key) for key in now}), nested(now)):
        message = f"the map at {journal.path} is another one:"
        remedy = (
            "Give the arguments and data that it was begun with, another path, or overwrite=True."
        )
        raise TableMismatchError("\n".join([message, *found, remedy]))


def _bands(scene: Scene) -> tuple[int, ...]:
    """Bands of each source, as the network sees it."""
    unit = lcm(*(layer.source.ratio for layer in scene.layers))
    inputs, _ = scene.read(slice(0, unit), slice(0, unit))
    return tuple(
        values.shape[layer.dims.index("c")]
        for values, layer in zip(inputs, scene.layers, strict=True)
    )


def _counted(counts: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Return the sums of the counts of all tiles, and the largest residual."""
    found: dict[str, Json] = {key: sum(each[key] for each in counts) for key in COUNTED}
    return {**found, "largest_residual": max(each["residual"] for each in counts)}


def _pixels(shape: tuple[int, int]) -> int:
    return shape[0] * shape[1]

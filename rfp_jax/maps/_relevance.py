"""Relevance of every pixel of a scene."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from rfp_jax._runs import processes
from rfp_jax._transforms.walks import BiasMode
from rfp_jax._util.extras import needs_extra
from rfp_jax._util.rasters import Scale
from rfp_jax._util.trees import Given, Tree
from rfp_jax.maps._dates import with_dates
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._explain import Network
from rfp_jax.maps._file import bounded_cache
from rfp_jax.maps._grid import Bounds
from rfp_jax.maps._identity import identity
from rfp_jax.maps._journal import Journal
from rfp_jax.maps._scene import Prepare, check_prepare, open_scene
from rfp_jax.maps._structure import Windows
from rfp_jax.maps._write import in_memory, on_disk, plan_work
from rfp_jax.rules import Composite, LayerRule

if TYPE_CHECKING:
    import xarray as xr

MEMORY = 2**30
"""Bytes that a window may take where nothing is said."""


def relevance(
    fun: Callable[..., Tree],
    params: Tree,
    sources: Mapping[str, Given],
    path: str | os.PathLike[str] | None = None,
    *,
    classes: Sequence[str] | Mapping[str, str] | None = None,
    reference: str | None = None,
    outputs: Given = "argmax",
    tile: int | str = "auto",
    margin: int | str = "auto",
    window: int | tuple[int, int] | None = None,
    blend: float | None = None,
    stride: int | tuple[int, int] | None = None,
    prepare: Prepare | Mapping[str, Prepare] | None = None,
    fill: float | Mapping[str, float] = 0.0,
    nodata: str | Sequence[str] = "reference",
    resampling: str = "bilinear",
    scale: Scale = None,
    constants: Sequence[Given] = (),
    rules: str | Composite | LayerRule = "lrp0",
    bias: BiasMode = "keep",
    region: Bounds | None = None,
    max_bytes: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> xr.Dataset:
    """Compute how much of a network's output at every pixel of a scene came from each source.

    A scene may be larger than memory. It is explained window by window, in one forward pass each,
    and what is returned equals the relevance of the whole scene: windows begin at multiples of the
    network's stride and are trimmed by its field, which is read off its program (`maps.field`).
    Pixels keep their place on the ground.

    With a `path`, the map is written to zarr tile by tile. Call it again after a crash, with the
    same arguments: it goes on where it was. Processes that have joined
    (`rfp_jax.tables.join`) share the tiles.

    Args:
        fun: the network, `fun(params, *sources, *constants)`, of arrays [batch, y, x, band],
            float32; it returns [batch, y, x, class] of the same size.
        params: its parameters, a tree of arrays.
        sources: name to path, xarray DataArray, Dataset (bands as variables), or `maps.Source`, in
            the order of the arguments.
        path: where to put the map, a folder, by custom with the suffix `.zarr`; without it the map
            is in memory.
        classes: names of the outputs, or a mapping of names to colors `"#rrggbb"`.
        reference: the source whose grid the map has; by default the first one. Sources on the same
            grid are copied, others are warped.
        outputs: which outputs are explained: `"argmax"`, at each pixel the greatest; `"all"`; or a
            list of classes.
        tile: pixels a side that are written together, a multiple of the stride; `"auto"`: the
            largest whose windows fit `max_bytes`.
        margin: pixels that a window loses at each side; `"auto"`: as the field says.
        window: pixels of a window (height, width), for networks that depend on their whole window
            or take one size alone: what they were trained on.
        blend: the part of a window, 0 to 1, that the next one covers too: overlapping windows are
            averaged, output and relevance with the same weights, so that parts still add up.
        stride: for networks that classify a whole window, pixels from one window to the next: the
            map has the resolution of the stride.
        prepare: maps values [y, x, band] to what the network was trained on, one function for all
            sources or one by name. It must be pointwise.
        fill: what the network sees of a missing pixel, after `prepare`; a number, or one by name.
            With 0 a missing pixel contributes exactly 0.
        nodata: which sources void a pixel of the map where they are missing: `"reference"`,
            `"any"`, `"all"` (only where all are missing), or names.
        resampling: how sources on other grids are warped, a method of GDAL.
        scale: what to do with stored values where the data declare a scale or offset: `"apply"`,
            `"raw"`, or `(scale, offset)`.
        constants: further arguments of the network without a place, such as a date.
        rules: the rules of propagation, as for `rfp_jax.relevance`.
        bias: what becomes of biases, as for `rfp_jax.relevance`.
        region: left, bottom, right, top in the reference's coordinate system: the part to explain.
        max_bytes: memory that a window may take on a device; by default 1 GiB.
        overwrite: whether to remove a map that is at `path`.
        progress: whether to announce sizes and show a bar on stderr.

    Returns:
        A Dataset with `relevance` (source, y, x), or (class, source, y, x) where classes are
        chosen, the source `bias` last; `output` (y, x) or (class, y, x), the sum over sources;
        `prediction` (y, x), 255 where there is none, absent where the network has one output; and
        `valid` (y, x), one bit for each source that has data there.

    Raises:
        GlobalNetworkError: the output depends on the whole window; names the operations.
        NetworkSizeError: the network's output does not lie on its pixels.
        SceneError: sources, grids or options do not fit; names the source and what to do.
        rfp_jax.tables.TableMismatchError: the map at `path` was begun with other arguments or
            data; names each.
        rfp_jax.tables.TableInUseError: another run is writing it.
        OSError: the disk is too small or full; what is committed stays.

    Examples:
        Four pixels and two sources, `y = [2a + 3s + 1, -a + 0.5]`:

        >>> import jax.numpy as jnp, numpy as np, xarray as xr, rioxarray
        >>> from rfp_jax import maps
        >>> def raster(value):
        ...     y, x = [5199995.0, 5199985.0], [600005.0, 600015.0]
        ...     array = xr.DataArray(np.full((2, 2), value), {"y": y, "x": x}, ("y", "x"))
        ...     return array.rio.write_crs("EPSG:32633")
        >>> def network(params, a, s):
        ...     return jnp.concatenate([2 * a + 3 * s + 1, -a + 0.5], -1)
        >>> scene = maps.relevance(
        ...     network, None, {"optical": raster(4.0), "sar": raster(5.0)},
        ...     classes=["water", "forest"], progress=False,
        ... )
        >>> scene.relevance[:, 0, 0].to_series().to_dict()
        {'optical': 8.0, 'sar': 15.0, 'bias': 1.0}
    """
    with needs_extra("Maps of relevance", extra="maps"):
        import rich  # noqa: F401
        import zarr  # noqa: F401
    with bounded_cache(), processes.phase():
        scene = open_scene(
            sources,
            reference=reference,
            prepare=prepare,
            fill=fill,
            nodata=nodata,
            resampling=resampling,
            scale=scale,
            region=region,
        )
        check_prepare(scene)
        params = jax.tree.map(lambda x: x if isinstance(x, jax.Array) else np.asarray(x), params)
        layers = scene.layers
        orders, dates = zip(
            *((layer.source.dims, layer.raster.tags.times) for layer in layers), strict=True
        )
        fun, is_patch = with_dates(fun, orders, dates), stride is not None
        network = Network(
            fun, params, len(layers), tuple(constants), layers[0].dims, rules, bias, is_patch
        )
        windows = Windows(
            _number("tile", tile, 1),
            _number("margin", margin, 0),
            _pair(window),
            blend,
            _pair(stride),
            MEMORY if max_bytes is None else max_bytes,
        )
        work, structure = plan_work(scene, network, windows, outputs, classes)
    with processes.phase():
        known = identity(
            scene, network, work.layout, structure, work.compiled, resampling=resampling
        )
    if path is None:
        with bounded_cache():
            return in_memory(work, known, shown=progress)
    with bounded_cache():
        return on_disk(Journal(Path(path).absolute()), work, known, overwrite, shown=progress)


def _pair(given: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if given is None:
        return None
    both = (given, given) if isinstance(given, int) else tuple(given)
    if len(both) != 2 or not all(isinstance(n, int) and n > 0 for n in both):
        raise SceneError(f"window= and stride= are pixels, one number or two, got {given!r}")
    return both[0], both[1]


def _number(name: str, given: int | str, least: int) -> int | Literal["auto"]:
    if given == "auto":
        return "auto"
    if not isinstance(given, int) or given < least:
        raise SceneError(f"{name}= is 'auto' or a number of pixels from {least}, got {given!r}")
    return given

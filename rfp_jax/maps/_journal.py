"""A map while it grows, and when it is complete: zarr, one commit a tile, published by one rename.

    PATH.partial/            lock and commit markers: `rfp_jax._runs.partial`
    PATH.partial/scene.zarr  the map, with its fill values where nothing was committed
    PATH                     appears when every tile is proved
    PATH/proof/zarr.json     size and checksum of every chunk; sealed

A tile is a whole
number of chunks, so each chunk has one writer. Every chunk has its file, even one of nothing but
fill values: what is missing is missing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np

from rfp_jax._runs import sealed
from rfp_jax._runs.partial import Partial, Record
from rfp_jax._util import files
from rfp_jax._util.trees import Json
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._layout import Layout, Variable
from rfp_jax.maps._tiles import Plan, Tile

FORMAT = "rfp_jax map 1"
METADATA, PROOF = "zarr.json", Path("proof", "zarr.json")


@dataclass(frozen=True)
class Journal:
    """The folder to which a map is written, and a record of its committed tiles.

    Attributes:
        path: where the complete map will be.
    """

    path: Path

    @property
    def partial(self) -> Partial:
        """The folder beside it, its lock and its markers."""
        return Partial(self.path)

    @property
    def scene(self) -> Path:
        """The map that is being written."""
        return self.partial.folder / "scene.zarr"

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Take the lock for as long as the stack lives, and clear away what a kill has left."""
        stack.enter_context(self.partial.locked())
        self.partial.clear()

    def attributes(self) -> dict[str, Json] | None:
        """Attributes of the map that is being written; None if there is none that can be read."""
        found = sealed.read_intact(self.scene / METADATA)
        return None if found is None else found["attributes"]

    def create(self, layout: Layout, attributes: Mapping[str, Json]) -> None:
        """Make the map in its full size, with nothing in it."""
        shutil.rmtree(self.scene, ignore_errors=True)
        self.partial.forget()
        with files.atomic_folder(self.scene, durable=True) as fresh:
            _create(fresh, layout, attributes)

    def check_room(self, layout: Layout) -> None:
        """Refuse a disk that is too small for the map, were it not compressed.

        Raises:
            OSError: says what is needed and what is free.
        """
        parent = next(p for p in (self.path, *self.path.parents) if p.is_dir())
        free = shutil.disk_usage(parent).free
        if free < layout.bytes():
            raise OSError(
                errno.ENOSPC,
                f"the map needs up to {layout.bytes():,} bytes, {free:,} are free: choose another "
                "disk, a region=, or outputs='argmax' in place of all classes",
                str(self.path),
            )

    def forget_damaged(self, mine: Sequence[int]) -> None:
        """Read the files of some committed tiles; what has changed is committed no more."""
        self.partial.forget_damaged(self._identity(), self.scene, mine)

    def committed(self, plan: Plan, *, thorough: bool = True) -> list[Record | None]:
        """Return what is known of each tile; None for one that is not committed, or damaged."""
        every = range(len(plan))
        return self.partial.committed(self._identity(), self.scene, every, thorough=thorough)

    def commit(
        self,
        i: int,
        tile: Tile,
        layout: Layout,
        values: Mapping[str, np.ndarray],
        counts: Mapping[str, Json],
    ) -> None:
        """Write a tile, and only then say so."""
        stamps = {}
        for name, block in values.items():
            stamps |= _write(self.scene, name, tile.place, layout, block)
        identity = (self.attributes() or {})["identity"]
        self.partial.commit(identity, i, {"counts": dict(counts), "files": stamps})

    def publish(self, plan: Plan, attributes: Mapping[str, Json]) -> None:
        """Let the map, now complete, appear at its place.

        Raises:
            SceneError: files have changed since they were written.
        """
        records = self.committed(plan)
        if lost := [i for i, record in enumerate(records) if record is None]:
            raise SceneError(
                f"files of {self.scene} have changed while it was written, of the tiles {lost[:10]}"
                ": call relevance again, it computes them anew"
            )
        stamps = {k: s for record in records if record for k, s in record["files"].items()}
        root = sealed.read(self.scene / METADATA)
        assert root is not None
        proof = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"map": root["attributes"]["identity"], "files": stamps},
        }
        (self.scene / PROOF).parent.mkdir(exist_ok=True)
        sealed.write(self.scene / PROOF, sealed.seal(json.loads(json.dumps(proof))))
        complete = {**root["attributes"], **attributes, "complete": 1}
        sealed.write(self.scene / METADATA, sealed.seal({**root, "attributes": complete}))
        files.sync_tree(self.scene)
        self.scene.rename(self.path)
        files.sync(self.path.parent)
        self.partial.remove()

    def _identity(self) -> str | None:
        return (self.attributes() or {}).get("identity")

    def discard(self) -> None:
        """Remove the map at the path, complete or not.

        Raises:
            FileExistsError: something else stands there.
        """
        if os.path.lexists(self.path):
            read_root(self.path)
            shutil.rmtree(self.path)
        if self.partial.folder.exists():
            with self.partial.locked():
                self.partial.remove()


def read_root(path: Path) -> dict[str, Json]:
    """Read what a complete map says of itself.

    Raises:
        FileNotFoundError: there is nothing.
        FileExistsError: it is something else.
        SceneError: it is a map, and its metadata are damaged.
    """
    if not os.path.lexists(path):
        partial = Journal(path).partial.folder
        begun = (
            f"; {partial} holds one that was begun: call relevance again"
            if partial.exists()
            else ""
        )
        raise FileNotFoundError(f"there is no map at {path}{begun}")
    found = sealed.read(path / METADATA)
    if found is None or found["attributes"].get("format") != FORMAT:
        raise FileExistsError(f"{path} is not a map of rfp_jax: choose another path")
    if not sealed.is_intact(found):
        raise SceneError(
            f"{path / METADATA} holds other bytes than were written: restore it from a copy, or "
            "call relevance again with overwrite=True"
        )
    return found["attributes"]


def damage(path: Path, *, thorough: bool) -> list[str]:
    """Name the files of a complete map that are missing or not what was written.

    Args:
        path: the map.
        thorough: whether to read them, instead of comparing sizes.
    """
    proof = sealed.read_intact(path / PROOF)
    if proof is None:
        return [f"{PROOF} is missing or damaged, so nothing is known of the other files"]
    found = []
    for key, stamp in proof["attributes"]["files"].items():
        if words := sealed.difference(path / key, stamp, thorough=thorough):
            found.append(f"{key} {words}")
    return found


def _create(folder: Path, layout: Layout, attributes: Mapping[str, Json]) -> None:
    import zarr
    from zarr.codecs import ZstdCodec

    with _quiet():
        group = zarr.create_group(folder, zarr_format=3)
        for name, variable in layout.variables.items():
            group.create_array(
                name,
                shape=layout.shape(name),
                chunks=layout.chunks(name),
                dtype=variable.dtype,
                fill_value=variable.fill,
                compressors=(ZstdCodec(),),
                chunk_key_encoding={"name": "default", "separator": "."},
                dimension_names=variable.dims,
                attributes=_attributes(variable),
            )
        for name, (dims, values, words) in layout.coordinates.items():
            array = group.create_array(
                name,
                shape=values.shape,
                dtype=values.dtype,
                chunks=values.shape,
                compressors=(ZstdCodec(),),
                dimension_names=dims,
                attributes=words,
            )
            array[...] = values
        names = " ".join(name for name in layout.coordinates if name == "spatial_ref")
        group.attrs.update({**attributes, "coordinates": names, "format": FORMAT, "complete": 0})
        zarr.consolidate_metadata(folder)
    whole = sealed.read(folder / METADATA)
    assert whole is not None
    sealed.write(folder / METADATA, sealed.seal(whole))


def _attributes(variable: Variable) -> dict[str, Json]:
    """Attributes of an array; xarray takes `_FillValue` for "missing"."""
    if variable.dtype.kind == "f":
        return {**variable.attributes, "_FillValue": "AAAAAAAA+H8="}
    return dict(variable.attributes)


def _write(
    folder: Path, name: str, place: tuple[slice, slice], layout: Layout, block: np.ndarray
) -> dict[str, sealed.Stamp]:
    """Write a tile of a variable; returns the stamps of its files by name."""
    import zarr

    keys = []
    for lead in product(*(range(n) for n in block.shape[:-2])):
        spans = (
            range(s.start // c, ceil(s.stop / c)) for s, c in zip(place, layout.chunk, strict=True)
        )
        keys += [f"{name}/c.{'.'.join(map(str, (*lead, y, x)))}" for y, x in product(*spans)]
    for key in keys:
        (folder / key).unlink(missing_ok=True)  # zarr would read it first, and it may be damaged
    with _quiet(), zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_array(folder / name, mode="r+")[(..., *place)] = block
    for key in keys:
        files.sync(folder / key)
    files.sync(folder / name)
    return {key: sealed.stamp(folder / key) for key in keys}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out zarr's warnings of what xarray writes and reads in the same way."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        warnings.filterwarnings("ignore", r"The data type", category=Warning)
        yield

"""Normalized patches in ArrayRecord shards, for accelerators that starve on decoding GeoTIFFs.

    OUT/<split>/pack.json                what was packed, how, and the size of every shard
    OUT/<split>/index.npz                names, probabilities, twins, cloud cover, places of records
    OUT/<split>/patches-00000.array_record ...   one record an image, its pixels and nothing else

A record is the pixels of one image in C order, `optical` [size, size, 10] or `sar` [size, size, 2],
little-endian. Images are normalized as the reader does it, so a packed patch is the read one, bit
for bit in float32. Float16 halves the size, at a relative precision of 5e-4.
"""

import functools
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.files import new_folder
from rfp_jax._util.npz import read_npz
from rfp_jax.datasets._geotiff import PatchError
from rfp_jax.datasets.sen12ms._archive import Archive, Optical, Patches, Reading
from rfp_jax.datasets.sen12ms._layout import RGB_BANDS, S2_BANDS, SIZE, Patch, PatchSplit

T = TypeVar("T")

FORMAT = 1
MANIFEST, INDEX = "pack.json", "index.npz"
Kind = Literal["optical", "cloudy", "sar"]
KINDS: tuple[Kind, ...] = ("optical", "cloudy", "sar")
CHANNELS = {"optical": len(S2_BANDS), "cloudy": len(S2_BANDS), "sar": 2}


@dataclass(frozen=True)
class Manifest:
    """The contents of `pack.json`.

    Attributes:
        format: version of the format.
        split: the split that was packed.
        size: height and width of the images.
        dtype: of the pixels, float16 or float32.
        note: what must be said about the data, see `Patches`.
        shards: name and bytes of every shard, in order.
    """

    format: int
    split: str
    size: int
    dtype: str
    note: str
    shards: dict[str, int]


class _Images(NamedTuple):
    """Everything about one patch, or why it could not be read."""

    pixels: dict[Kind, np.ndarray]
    cover: dict[Kind, float]
    probabilities: np.ndarray
    failure: str


def pack(
    source: Archive,
    out: str | os.PathLike[str],
    *,
    dtype: Literal["float16", "float32"] = "float32",
    shard: int = 1024,
    threads: int = 8,
    skip_broken: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Path:
    """Write the patches of a split into ArrayRecord shards, once.

    Args:
        source: the patches.
        out: the pack appears in `out/<split>` when it is complete.
        dtype: of the pixels.
        shard: patches in a shard.
        threads: how many threads read.
        skip_broken: whether to note patches that cannot be read in the index instead of stopping;
            reading one from the pack then fails with the same reason.
        advance: called after every patch, for a progress bar.

    Returns:
        The folder of the pack.

    Raises:
        FileExistsError: if `out/<split>` exists.
        PatchError, LookupError: if a patch cannot be read, unless `skip_broken`.
        OSError: if the disk is full, for instance; nothing remains.
    """
    with needs_extra("Packing patches", "experiments"):
        from array_record.python.array_record_module import ArrayRecordWriter
    folder = Path(out).expanduser() / source.split
    count = len(source)
    places = {kind: np.full(count, -1) for kind in KINDS}
    cover = {kind: np.full(count, np.nan) for kind in KINDS}
    probabilities, failures = np.full((count, 17), np.nan), [""] * count
    shards, record = [], 0
    with new_folder(folder) as unfinished, ThreadPoolExecutor(max(threads, 1)) as pool:
        read = functools.partial(_read, source, np.dtype(dtype).newbyteorder("<"), skip_broken)
        images = _in_order(pool, read, range(count), ahead=2 * threads)
        for start in range(0, count, shard):
            path = unfinished / f"patches-{len(shards):05d}.array_record"
            writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
            try:
                for index, found in zip(range(start, min(start + shard, count)), images):  # noqa: B905
                    for kind, pixels in found.pixels.items():
                        writer.write(pixels.tobytes())
                        places[kind][index], record = record, record + 1
                        cover[kind][index] = found.cover.get(kind, np.nan)
                    probabilities[index], failures[index] = found.probabilities, found.failure
                    advance()
            finally:
                writer.close()
            shards.append(path)
        index = {
            "names": np.array([patch.name for patch in source.patches]),
            "probabilities": probabilities,
            "failures": np.array(failures),
            "twins": source.twins,
            **{f"{kind}_record": at for kind, at in places.items()},
            **{f"{kind}_cover": values for kind, values in cover.items() if kind != "sar"},
        }
        np.savez_compressed(unfinished / INDEX, allow_pickle=False, **index)
        sizes = {path.name: path.stat().st_size for path in shards}
        manifest = Manifest(FORMAT, source.split, source.size, dtype, source.note, sizes)
        (unfinished / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
    return folder


class Packed:
    """Patches of one split from a folder that `pack` has written.

    Args:
        folder: `OUT/<split>`.

    Raises:
        FileNotFoundError: if it is not such a folder, or shards are missing.
        ValueError: if a file is damaged or half downloaded.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        with needs_extra("Reading packed patches", "experiments"):
            import grain
        self.folder = Path(folder).expanduser()
        self.manifest = _read_manifest(self.folder)
        self.size, self.note = self.manifest.size, self.manifest.note
        self.split = self.manifest.split
        paths = [self.folder / name for name in self.manifest.shards]
        for path, size in zip(paths, self.manifest.shards.values(), strict=True):
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing: the pack was copied in part")
            if path.stat().st_size != size:
                raise ValueError(
                    f"{path} has {path.stat().st_size} bytes, {MANIFEST} says {size}: it was "
                    "copied in part or damaged; copy or pack it again"
                )
        self._index = _read_index(self.folder / INDEX)
        self.patches: Sequence[Patch] = tuple(map(Patch.parse, self._index["names"].tolist()))
        self.twins = self._index["twins"]
        self._records = grain.sources.ArrayRecordDataSource(list(map(str, paths)))

    def __len__(self) -> int:
        return len(self.patches)

    def __repr__(self) -> str:
        return f"Packed({str(self.folder)!r}: {len(self)} patches)"

    def probabilities(self, index: int) -> np.ndarray:
        """Shares of the 17 IGBP classes in a patch, float64 [17]."""
        self._check(index)
        return self._index["probabilities"][index]

    def check_cloudy(self) -> None:
        """Do nothing: a pack holds the twins that it names."""

    def read(
        self, index: int, *, optical: Optical | None, sar: bool, cloudy: bool, cover: bool
    ) -> Reading:
        """Read images of a patch; see `Archive.read`."""
        self._check(index)
        radar = self._image("sar", index) if sar else None
        if optical is None:
            return Reading(None, radar, None)
        kind: Kind = "cloudy" if cloudy else "optical"
        image = self._image(kind, index)
        if optical == "rgb":
            image = image[..., [S2_BANDS.index(band) for band in RGB_BANDS]]
        estimated = float(self._index[f"{kind}_cover"][index]) if cover else None
        return Reading(image, radar, estimated)

    def _image(self, kind: Kind, index: int) -> np.ndarray:
        record = int(self._index[f"{kind}_record"][index])
        if record < 0:
            raise PatchError(f"{self.folder}: no {kind} image of {self.patches[index].name}")
        shape = (self.size, self.size, CHANNELS[kind])
        dtype = np.dtype(self.manifest.dtype).newbyteorder("<")
        try:
            return np.frombuffer(self._records[record], dtype).reshape(shape).astype(np.float32)
        except (ValueError, IndexError, RuntimeError) as error:
            raise PatchError(
                f"{self.folder}: the {kind} image of {self.patches[index].name} is damaged "
                f"({error}); pack it again"
            ) from error

    def _check(self, index: int) -> None:
        if reason := str(self._index["failures"][index]):
            raise PatchError(f"could not be packed: {reason}")


def open_patches(
    root: str | os.PathLike[str],
    split: PatchSplit,
    *,
    labels: str | os.PathLike[str] | None = None,
    cloudy: str | os.PathLike[str] | None = None,
    size: int = SIZE,
) -> Patches:
    """Open a split, packed or as published.

    Args:
        root: what `pack` was told to write to, or an archive.
        split: `"train"`, `"val"` or `"test"`.
        labels: see `Archive`.
        cloudy: see `Archive`.
        size: see `Archive`; a pack must have it, too.

    Returns:
        The patches.

    Raises:
        FileNotFoundError, ValueError: see `Archive` and `Packed`.
    """
    folder = Path(root).expanduser() / split
    if not (folder / MANIFEST).is_file():
        return Archive(root, split, labels=labels, cloudy=cloudy, size=size)
    packed = Packed(folder)
    if packed.size != size:
        raise ValueError(
            f"{folder} holds patches of {packed.size} x {packed.size} pixels, expected {size}"
        )
    return packed


def _read(source: Archive, dtype: np.dtype, skip_broken: bool, index: int) -> _Images:
    try:
        clear = source.read(index, optical="s2", sar=True, cloudy=False, cover=True)
        found: dict[Kind, np.ndarray | None] = {"optical": clear.optical, "sar": clear.sar}
        covers: dict[Kind, float | None] = {"optical": clear.cloud_cover}
        if source.twins[index]:
            twin = source.read(index, optical="s2", sar=False, cloudy=True, cover=True)
            found["cloudy"], covers["cloudy"] = twin.optical, twin.cloud_cover
        pixels: dict[Kind, np.ndarray] = {
            kind: y.astype(dtype) for kind, y in found.items() if y is not None
        }
        cover: dict[Kind, float] = {
            kind: share for kind, share in covers.items() if share is not None
        }
        return _Images(pixels, cover, source.probabilities(index), "")
    except (ValueError, LookupError) as error:
        if not skip_broken:
            raise
        return _Images({}, {}, np.full(17, np.nan), str(error))


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[int], T], items: Iterable[int], *, ahead: int
) -> Iterable[T]:
    """Map in threads, in order, with few results waiting: `pool.map` would read everything."""
    waiting = iter(items)
    futures = [pool.submit(work, item) for item in islice(waiting, max(ahead, 1))]
    while futures:
        yield futures.pop(0).result()
        futures += [pool.submit(work, item) for item in islice(waiting, 1)]


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        found = Manifest(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no {MANIFEST} in {folder}: pack an archive with `rfp-jax sen12ms pack ROOT OUT`"
        ) from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if found.format != FORMAT or found.dtype not in ("float16", "float32"):
        raise ValueError(f"{path}: format {found.format} of {found.dtype} is not known")
    if any(Path(name).name != name for name in found.shards):
        raise ValueError(f"{path} names shards outside of its folder")
    return found


def _read_index(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_npz(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is missing or damaged: {error}; pack again") from error

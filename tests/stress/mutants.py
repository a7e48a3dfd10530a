"""Small files, mutated at random: no reader may take much of them, or end in another error.

    python tests/stress/mutants.py --cases 500 --seed 0 [FORMAT ...]

A reader of a mutated file must return, or raise the error that it documents, with the file's name,
within 10 seconds and without more than 512 MiB of memory beside what it had.
"""

import argparse
import io
import os
import pickle
import random
import resource
import signal
import struct
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

SECONDS, MEMORY = 10, 2**29
SIZE = 32


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        write: writes a valid file into a folder; returns its path.
        read: reads the file.
        errors: what it may raise of a bad file; the message names the file.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...]


# ---- formats -----------------------------------------------------------------------------------


def pth(legacy=False):
    import torch

    from rfp_jax.convert.flax import CheckpointError, read_checkpoint

    def write(folder):
        path = folder / "a.pth"
        content = {"model": {"fc.weight": torch.ones(4, 3), "fc.bias": torch.ones(4)}, "epoch": 3}
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        return path

    def read(path):
        found = read_checkpoint(path)
        return [np.array(each.float()) for each in found.state_dict.values()]

    return Format(write, read, (CheckpointError,))


def safetensors():
    import torch
    from safetensors.torch import save_file

    from rfp_jax.convert.flax import CheckpointError, read_checkpoint

    def write(folder):
        save_file({"w": torch.ones(4, 3), "b": torch.ones(4)}, folder / "a.safetensors")
        return folder / "a.safetensors"

    return Format(write, lambda path: read_checkpoint(path).state_dict, (CheckpointError,))


NAMES = [f"ROIs1158_spring_s2_1_p{n}.tif" for n in range(6)]


def npz():
    from rfp_jax.datasets.sen12ms._lists import read_labels

    def write(folder):
        path = folder / "IGBP_probability_labels.npz"
        np.savez_compressed(path, names=np.array(NAMES), probabilities=np.full((6, 17), 1 / 17))
        return path

    return Format(write, lambda path: read_labels(path.parent), (ValueError,))


def pkl(protocol=4):
    from rfp_jax.datasets.sen12ms._lists import read_labels

    def write(folder):
        path = folder / "IGBP_probability_labels.pkl"
        rows = [np.full(17, 1 / 17), [1 / 17] * 17, np.full(17, 1 / 17, np.float32)] * 2
        path.write_bytes(pickle.dumps(dict(zip(NAMES, rows, strict=True)), protocol=protocol))
        return path

    return Format(write, lambda path: read_labels(path.parent), (ValueError,))


def tif():
    import rasterio

    from rfp_jax.datasets.sen12ms import PatchError
    from rfp_jax.datasets.sen12ms._geotiff import read_s2

    def write(folder):
        path = folder / "a.tif"
        options = {"driver": "GTiff", "count": 13, "height": SIZE, "width": SIZE, "tiled": True}
        options |= {"blockxsize": 16, "blockysize": 16, "compress": "deflate", "dtype": "uint16"}
        options |= {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
        with rasterio.open(path, "w", **options) as file:
            file.write(np.full((13, SIZE, SIZE), 900, np.uint16))
        return path

    return Format(write, lambda path: read_s2(path, size=SIZE), (PatchError,))


def rfp():
    from rfp_jax import export

    def write(folder):
        path = folder / "a.rfp"
        one = {"x": np.zeros(4, np.float32)}
        weights = np.ones((4, 2), np.float32)
        export.save(path, lambda w, x: x @ w, weights, one, classes="ab", platforms=("cpu",))
        return path

    return Format(write, export.load, (ValueError,))


def zarr():
    from rfp_jax import tables
    from rfp_jax.tables import Columns, RunOptions

    def write(folder):
        data = [{"x": np.ones(3, np.float32), "label": n % 2, "id": f"p{n}"} for n in range(4)]
        tables.evaluate(
            lambda w, x: x @ w,
            data,
            folder / "t.zarr",
            params=np.ones((3, 2), np.float32),
            sources=("x",),
            classes=("a", "b"),
            columns=Columns(),
            run=RunOptions(chunk=2, batch=2, threads=0, progress=False),
        )
        return folder / "t.zarr" / "zarr.json"

    errors = (tables.DamagedTableError, tables.TableFormatError, tables.IncompleteTableError)
    return Format(write, lambda path: tables.open(path.parent).load(), errors)


FORMATS = {
    "pth": pth,
    "pth before 1.6": lambda: pth(legacy=True),
    "safetensors": safetensors,
    "npz": npz,
    "pkl": pkl,
    "pkl of Python 2": lambda: pkl(protocol=0),
    "tif": tif,
    "rfp": rfp,
    "zarr.json": zarr,
}


# ---- mutations ---------------------------------------------------------------------------------


def cut(content, choose):
    del content[choose.randrange(len(content)) :]


def flip(content, choose):
    for _ in range(choose.choice((1, 1, 4, 16))):
        content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)


def number(content, choose):
    """A large or odd number in the place of one."""
    width, code = choose.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    top = 2 ** (8 * width) - 1
    value = choose.choice((0, 1, top, top // 2, top // 2 + 1, choose.randrange(top)))
    place = choose.randrange(max(len(content) - width, 1))
    content[place : place + width] = struct.pack(choose.choice("<>") + code, value)


def repeat(content, choose):
    start = choose.randrange(len(content))
    piece = content[start : start + choose.randrange(1, 64)]
    content[start:start] = piece * choose.choice((1, 2, 50, 1000))


def drop(content, choose):
    start = choose.randrange(len(content))
    del content[start : start + choose.randrange(1, 64)]


def digits(content, choose):
    """A longer number where text has a digit."""
    places = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    if places:
        place = choose.choice(places)
        content[place : place + 1] = choose.choice((b"9999999999", b"-1", b"1e999", b"00", b"NaN"))


MUTATIONS = (cut, flip, flip, number, number, repeat, drop, digits)


def mutate(content, choose):
    """Content with one to three mutations."""
    mutated = bytearray(content)
    for _ in range(choose.choice((1, 1, 2, 3))):
        if mutated:
            choose.choice(MUTATIONS)(mutated, choose)
    return bytes(mutated)


def mutate_inside(content, choose):
    """A zip with one member mutated and its check sum made good, compressed now and then."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        names = old.namelist()
        victim = choose.choice(names)
        for name in names:
            inside = old.read(name)
            way = old.getinfo(name).compress_type
            if name == victim:
                inside = mutate(inside, choose)
                way = zipfile.ZIP_DEFLATED if choose.random() < 0.1 else way
            new.writestr(name, inside, compress_type=way)
    return buffer.getvalue()


# ---- the machine -------------------------------------------------------------------------------


class TooMuchError(BaseException):
    """A reader took too long, or too much memory."""


def _alarm(*_):
    raise TooMuchError(f"more than {SECONDS} s")


def memory(name):
    """The memory of this process in bytes: VmRSS now, or VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


@contextmanager
def watched():
    """Ask of a block that it takes no more than 10 seconds and 512 MiB beside what there was."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    before = memory("VmRSS")
    handler = signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    taken = memory("VmHWM") - before
    if taken > MEMORY:
        raise TooMuchError(f"{taken / 2**20:.0f} MiB")


def fuzz(name, cases, seed, folder):
    """Mutate so many files of a format; returns how often each outcome was seen."""
    made = FORMATS[name]()
    path = made.write(folder)
    whole = path.read_bytes()
    made.read(path)
    seen = Counter()
    for case in range(cases):
        choose = random.Random(f"{name} {seed} {case}")
        inside = zipfile.is_zipfile(io.BytesIO(whole)) and choose.random() < 0.5
        path.write_bytes((mutate_inside if inside else mutate)(whole, choose))
        try:
            with watched():
                seen[_outcome(made, path)] += 1
        except BaseException as error:
            error.add_note(f"{name}, seed {seed}, case {case}")
            raise
    return seen


def _outcome(made, path):
    try:
        made.read(path)
    except made.errors as error:
        if str(path.parent) not in str(error):
            raise AssertionError(f"the error names no file: {error}") from error
        return "refused"
    return "read"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["CPL_LOG"] = os.devnull
    for name in given.formats or FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            seen = fuzz(name, given.cases, given.seed, Path(folder))
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(seen.items()))
        print(f"{name}: {counts}", flush=True)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (2**34, hard))
    sys.exit(main())

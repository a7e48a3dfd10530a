"""Damage finished and unfinished tables at random: remove, cut, flip, empty and swap their files.

    python tests/stress/damage.py --cases 400 --seed 0 FOLDER

After each damage a table that opens must hold every number that was computed, or an error must name
what is damaged and what to do; and evaluating again must end with the whole table, by itself or
after the remedy that its error names.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import xarray as xr

from rfp_jax import tables
from rfp_jax.tables import Columns, DamagedTableError, RunOptions, TableFormatError, evaluate

SAMPLES, CHUNK = 11, 3
PARAMS = np.random.default_rng(7).normal(size=(6, 4)).astype(np.float32)


class Patches:
    """Samples made when asked for, one of them unreadable; `until` breaks off the run."""

    def __init__(self, until=SAMPLES):
        self.until = until

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        if index == 4:
            raise OSError("truncated file")
        optical, sar = np.random.default_rng(index).normal(size=(2, 6)).astype(np.float32)
        sample = {"optical": optical, "sar": sar, "label": index % 4, "id": f"p{index}"}
        sample["season"] = "été" if index % 2 else "spring"
        return sample


def model(params, optical, sar):
    return optical @ params + 2 * sar @ params


class Stopped(Exception):
    """The run was broken off."""


def run(path, stop_after=None):
    """Evaluate; break off after so many chunks."""
    from rfp_jax.tables._evaluate.journal import Journal

    commit, done = Journal.commit, []

    def counted(self, *arguments):
        if len(done) == stop_after:
            raise Stopped
        done.append(commit(self, *arguments))

    Journal.commit = counted
    try:
        return evaluate(
            model,
            Patches(),
            path,
            params=PARAMS,
            sources=("optical", "sar"),
            classes=("w", "x", "y", "z"),
            columns=Columns(metadata=("season",)),
            run=RunOptions(chunk=CHUNK, batch=2, threads=0, progress=False),
        )
    finally:
        Journal.commit = commit


def files(folder):
    """Return the contents of files; JSON by its meaning, because a blank more is not damage."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            found[str(file.relative_to(folder))] = (
                json.loads(content) if file.suffix == ".json" else content
            )
    return found


def prepare(folder):
    """A finished table, an unfinished one, and what a kill just after publication leaves."""
    run(folder / "done" / "t.zarr")
    with contextlib.suppress(Stopped):
        run(folder / "half" / "t.zarr", stop_after=2)
    (folder / "left").mkdir()
    run(folder / "left" / "t.zarr")
    shutil.copytree(folder / "half" / "t.zarr.partial", folder / "left" / "t.zarr.partial")
    whole = tables.open(folder / "done" / "t.zarr", thorough=True).load()
    return whole, files(folder / "done" / "t.zarr")


def remove(file, choose):
    file.unlink()


def remove_folder(file, choose):
    shutil.rmtree(file.parent)


def cut(file, choose):
    content = file.read_bytes()
    file.write_bytes(content[: choose.randrange(len(content) or 1)])


def flip(file, choose):
    content = bytearray(file.read_bytes())
    if content:
        content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
    file.write_bytes(content)


def zeros(file, choose):
    file.write_bytes(bytes(file.stat().st_size))


def swap(file, choose):
    other = choose.choice(sorted(file.parent.glob("*[0-9]*")) or [file])
    if other.is_file():
        file.write_bytes(other.read_bytes())


DAMAGES = (remove, remove, remove_folder, cut, flip, flip, zeros, swap)


def damage(folder, choose):
    """Damage some files; returns what was done."""
    done = []
    for _ in range(choose.choice((1, 1, 1, 2, 5))):
        there = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != "lock"]
        if not there:
            break
        file, how = choose.choice(there), choose.choice(DAMAGES)
        how(file, choose)
        done.append(f"{how.__name__} {file.relative_to(folder)}")
    return done


def opened(path, whole):
    """Open a table and read all of it; returns what came of it."""
    try:
        table = tables.open(path).load()
    except (FileNotFoundError, tables.IncompleteTableError) as error:
        return type(error).__name__
    except (DamagedTableError, TableFormatError, FileExistsError) as error:
        if str(path.parent) not in str(error):
            raise AssertionError("no file is named") from error
        return type(error).__name__
    xr.testing.assert_identical(table, whole)
    return "identical"


def evaluated(path, whole, contents):
    """Evaluate again, and follow the remedy of an error; returns what came of it."""
    outcome = "computed anew or identical"
    for _ in range(3):
        try:
            table = run(path).load()
        except (DamagedTableError, TableFormatError, FileExistsError) as error:
            outcome = type(error).__name__
            remedy = re.search(r"remove (\S+) (?:\(|and call)|(\S+) is not a relevance", str(error))
            if remedy is None:
                raise AssertionError("no remedy is named") from error
            shutil.rmtree(remedy[1] or remedy[2] if remedy[1] != "it" else path)
        else:
            xr.testing.assert_identical(table, whole)
            assert files(path) == contents, "another table than the undisturbed one"
            assert not path.with_name(f"{path.name}.partial").exists()
            return outcome
    raise AssertionError("the remedies do not help")


def fuzz(folder, cases, seed):
    """Damage, open and evaluate so many tables; returns how often each outcome was seen."""
    whole, contents = prepare(folder)
    seen = Counter()
    for case in range(cases):
        choose = random.Random(f"{seed} {case}")
        kind = choose.choice(("done", "done", "half", "left"))
        work = folder / "work"
        shutil.copytree(folder / kind, work)
        done = damage(work, choose)
        try:
            seen[f"{kind}, opened: {opened(work / 't.zarr', whole)}"] += 1
            seen[f"{kind}, evaluated: {evaluated(work / 't.zarr', whole, contents)}"] += 1
        except BaseException as error:
            error.add_note(f"seed {seed}, case {case}, {kind}: {'; '.join(done)}")
            raise
        shutil.rmtree(work)
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="an empty folder to work in")
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.fsync = lambda handle: None  # the power stays on
    seen = fuzz(arguments.folder.resolve(), arguments.cases, arguments.seed)
    for outcome, count in sorted(seen.items()):
        print(f"{count:5} {outcome}")


if __name__ == "__main__":
    sys.exit(main())

"""Kill an evaluation at random instants, resume it, compare the table byte for byte.

    python tests/stress/faults.py --kills 300 --seed 0 FOLDER

Every trial starts one run on an empty path and disturbs it; what is left is resumed, and disturbed
again now and then, until a run gets through. Ways to disturb, each at a random instant:

    kill     SIGKILL before the n-th file-system operation of the run
    clock    SIGKILL after a random time
    ctrl-c   SIGINT before the n-th file-system operation
    full     the n-th file opened for writing fails with "no space left on device"
    short    no file can grow beyond a few bytes, so that writes break off in the middle
    second   the run is stopped before the n-th file-system operation, and a second one is started
             on the same path, which must refuse while the first holds the table; then the first
             is killed, or goes on

After each of them: what stands at the path is nothing, or the whole table; a second process that
opens it finds nothing, an error that says "incomplete", or the whole table; and the table in the
end is that of an undisturbed run, file for file and byte for byte.

The interpreter loads everything once and forks for each run. It never starts JAX or Zarr itself, so
there is no thread for a fork to lose.
"""

import argparse
import errno
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import grain  # noqa: F401  (loaded once, before the forks)
import jax
import numpy as np
import rich.progress  # noqa: F401
import xarray  # noqa: F401
import zarr  # noqa: F401

from rfp_jax import tables
from rfp_jax.tables import Columns, RunOptions, TableInUseError, evaluate

SAMPLES, CHUNK, BATCH = 37, 5, 2
WAYS = ("kill", "kill", "kill", "kill", "clock", "ctrl-c", "full", "short", "second")
INTERRUPTED, NO_SPACE, IN_USE, KILLED = 130, 28, 16, -signal.SIGKILL  # how a run can end, beside 0


class Patches:
    """Samples made when asked for; two of them are bad."""

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        if index == 11:
            raise OSError("truncated file")
        rng = np.random.default_rng(index)
        optical, sar = rng.normal(size=(2, 6)).astype(np.float32)
        if index == 23:
            sar[0] = np.nan
        return {"optical": optical, "sar": sar, "label": index % 4, "id": f"p{index}", "cloud": 0.1}


def model(params, optical, sar):
    return jax.nn.relu(optical @ params["a"] + sar @ params["b"])


def run(path):
    rng = np.random.default_rng(7)
    params = {name: rng.normal(size=(6, 4)).astype(np.float32) for name in "ab"}
    evaluate(
        model,
        Patches(),
        path,
        params=params,
        sources=("optical", "sar"),
        classes=("w", "x", "y", "z"),
        columns=Columns(metadata=("cloud",)),
        run=RunOptions(chunk=CHUNK, batch=BATCH, threads=2, progress=False),
    )


def check_what_is_there(path):
    """Whoever opens the table meanwhile is never shown half of it as the whole."""
    try:
        assert tables.open(path).attrs["complete"] == 1
    except FileNotFoundError:
        pass
    except tables.IncompleteTableError:
        part = tables.open(path, incomplete=True).load()
        assert part.attrs["complete"] == 0
        written = part.finite.values | (part.failure.values != "")
        assert written.all(), "a committed chunk is not in the table"


class Operations:
    """Counts the run's file-system operations in a folder, and acts before one of them."""

    def __init__(self, folder, events, at, act):
        self.folder, self.events, self.at, self.act = os.fspath(folder), events, at, act
        self.count, self.lock = 0, threading.Lock()

    def __call__(self, event, arguments):
        if event not in self.events or not arguments:
            return
        if (
            event == "open"
            and len(self.events) == 1
            and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            return
        if isinstance(arguments[0], str | os.PathLike) and self.folder in os.fspath(arguments[0]):
            with self.lock:
                self.count += 1
                due = self.count == self.at
            if due:
                self.act()


EVERY = {
    "open",
    "os.rename",
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.listdir",
    "os.scandir",
}


def child(path, way, at, report):
    """One run, disturbed in one way; the exit status is its process's."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    check_what_is_there(path)

    def send(number):
        os.kill(os.getpid(), number)

    def no_space():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    signals = {"kill": signal.SIGKILL, "ctrl-c": signal.SIGINT, "second": signal.SIGSTOP}
    act = (lambda: send(signals[way])) if way in signals else (lambda: None)
    counter = Operations(path, EVERY, at, act)
    if way == "full":
        counter = Operations(path, {"open"}, at, no_space)
    sys.addaudithook(counter)
    if way == "short":
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
    if way == "clock":
        timer = threading.Timer(at, lambda: send(signal.SIGKILL))
        timer.daemon = True
        timer.start()
    started = time.perf_counter()
    try:
        run(path)
    except KeyboardInterrupt:
        return INTERRUPTED
    except TableInUseError:
        return IN_USE
    except OSError as error:
        ours = error.errno in (errno.ENOSPC, errno.EFBIG) and way in ("full", "short")
        if not ours:
            traceback.print_exc()
        return NO_SPACE if ours else 1
    except BaseException:
        traceback.print_exc()
        return 1
    if report:
        os.write(report, f"{counter.count} {time.perf_counter() - started}".encode())
    return 0


def start(path, way="none", at=0, report=0):
    """Begin `child` in a process of its own."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = child(path, way, at, report)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return pid


def finish(pid):
    """Wait for a child; returns its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fork(path, way="none", at=0, report=0):
    """Run `child` to its end."""
    return finish(start(path, way, at, report))


def two(path, at, go_on):
    """Stop a run, start another on the same path; returns how both ended."""
    pid = start(path, "second", at)
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        return os.waitstatus_to_exitcode(status), 0
    second = fork(path)
    os.kill(pid, signal.SIGCONT if go_on else signal.SIGKILL)
    return finish(pid), second


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def undisturbed(folder):
    """The table as it must be, and how many operations and seconds it takes."""
    read, write = os.pipe()
    assert fork(folder / "whole.zarr", report=write) == 0, "the undisturbed run failed"
    count, seconds = os.read(read, 100).split()
    assert not (folder / "whole.zarr.partial").exists()
    return files(folder / "whole.zarr"), int(count), float(seconds)


EXPECTED = {
    "kill": {0, KILLED},
    "clock": {0, KILLED},
    "ctrl-c": {0, INTERRUPTED},
    "full": {0, NO_SPACE},
    "short": {0, NO_SPACE},
    "second": {0, KILLED, IN_USE},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="an empty folder to work in")
    parser.add_argument(
        "--kills", type=int, default=20, help="go on until so many SIGKILLs have hit"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    choose = random.Random(arguments.seed)
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    whole, operations, seconds = undisturbed(folder)
    print(f"undisturbed: {len(whole)} files, {operations} operations, {seconds:.2f} s")

    hits, runs, trial, ways = Counter(), 0, 0, []
    while hits["kill"] + hits["clock"] < arguments.kills or not all(
        hits[way] for way in ("refused", *WAYS)
    ):
        trial += 1
        if trial > 3 * arguments.kills + 20:
            sys.exit(f"{trial} tables, and never: {({'refused', *WAYS}) - set(+hits)}")
        path = folder / f"trial{trial}.zarr"
        status = None
        while status != 0:
            ways = ways or choose.sample(WAYS, len(WAYS))  # so that each comes soon
            way = ways.pop()
            at = {
                "clock": choose.uniform(0, seconds),
                "full": choose.randint(1, operations // 3),
                "short": choose.randint(1, 200),
            }.get(way, choose.randint(1, operations))
            if way == "second":
                status, second = two(path, at, go_on=choose.random() < 0.5)
                if second not in (0, IN_USE):
                    sys.exit(
                        f"seed {arguments.seed}, trial {trial}: a second run ended with {second}"
                    )
                hits["refused"] += second == IN_USE
                status = 0 if second == 0 else status
            else:
                status = fork(path, way, at)
            runs += 1
            where = f"seed {arguments.seed}, trial {trial}, {way} at {at}: exit status {status}"
            if status not in EXPECTED[way]:
                sys.exit(f"{where}: not one of {EXPECTED[way]}")
            hits[way] += status != 0
            if path.exists() and files(path) != whole:
                sys.exit(f"{where}: half a table at {path}")
            if status == 0 and not path.exists():
                sys.exit(f"{where}: the run says that it is done, but there is no table")
        # a kill may have hit after the table's appearance: the last word is a clean run
        if (
            fork(path) != 0
            or files(path) != whole
            or path.with_name(f"{path.name}.partial").exists()
        ):
            sys.exit(f"{where}: the resumed table is not that of an undisturbed run")
        shutil.rmtree(path)
    kills = hits["kill"] + hits["clock"]
    print(f"{kills} kills in {runs} runs of {trial} tables, all equal; {dict(hits)}")


if __name__ == "__main__":
    main()

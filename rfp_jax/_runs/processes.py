"""Several processes on one result: who does what, and when all are done."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rfp_jax._runs.errors import OtherProcessError

POLL = 0.2
"""Seconds between two looks for the processes that have not arrived."""


@contextlib.contextmanager
def phase() -> Iterator[None]:
    """Leave the block only when every process has done so; raise in all of them if one has failed.

    Raises:
        OtherProcessError: if the block failed in another process. Where it failed in this one, its
            own error goes on.
    """
    try:
        yield
    except Exception:
        _failed_anywhere(True)
        raise
    if failed := _failed_anywhere(False):
        raise OtherProcessError(
            f"process {failed[0]} of {jax.process_count()} failed; see its error"
        )


@contextlib.contextmanager
def long_phase(folder: Path) -> Iterator[None]:
    """A `phase` that may take one process hours longer than another.

    JAX's collectives give up after half an hour, so processes first wait for one another's files.

    Args:
        folder: exists, is empty at first, and is seen by all processes.
    """
    with phase():
        failure = None
        try:
            yield
        except Exception as error:
            failure = error
        if (count := jax.process_count()) > 1:
            (folder / str(jax.process_index())).touch()
            while not all((folder / str(process)).exists() for process in range(count)):
                time.sleep(POLL)
        if failure is not None:
            raise failure


def join() -> None:
    """Join the other processes of a job, if this process was started as one of several.

    Call it before anything else of JAX; in a process that stands alone it does nothing. SLURM
    (`srun`) and Open MPI are recognized. Elsewhere set `JAX_COORDINATOR_ADDRESS` (host:port of
    process 0), `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`; Kubernetes gives the last one to the pods
    of an indexed job, as `JOB_COMPLETION_INDEX`.

    Raises:
        ValueError: the variables are not numbers, or one is missing.

    Examples:
        >>> import rfp_jax.tables
        >>> from rfp_jax.tables import join
        >>> join()
    """
    given = os.environ
    if "JAX_NUM_PROCESSES" in given:
        place = given.get("JAX_PROCESS_ID", given.get("JOB_COMPLETION_INDEX"))
        if place is None or "JAX_COORDINATOR_ADDRESS" not in given:
            raise ValueError(
                "JAX_NUM_PROCESSES is set; set JAX_COORDINATOR_ADDRESS and JAX_PROCESS_ID as well"
            )
        jax.distributed.initialize(
            num_processes=int(given["JAX_NUM_PROCESSES"]),
            process_id=int(place),
            cluster_detection_method="deactivate",
        )
        return
    slurm = int(given.get("SLURM_NTASKS", "1")) if "SLURM_STEP_NODELIST" in given else 1
    if max(slurm, int(given.get("OMPI_COMM_WORLD_SIZE", "1"))) > 1:
        jax.distributed.initialize()


def is_first() -> bool:
    """Return whether this process does what only one may do."""
    return jax.process_index() == 0


def chunks_of_process(
    chunks: Sequence[int], process: int | None = None, count: int | None = None
) -> tuple[int, ...]:
    """The chunks that a process computes, every n-th of n processes.

    Args:
        chunks: all that are to be done.
        process: which process; by default this one.
        count: how many there are; by default those of this job.

    Examples:
        >>> chunks_of_process(range(5), process=1, count=2)
        (1, 3)
    """
    first = jax.process_index() if process is None else process
    return tuple(chunks[first :: jax.process_count() if count is None else count])


def _failed_anywhere(here: bool) -> list[int]:
    """Return which processes say that they have failed; waits for all of them."""
    count = jax.process_count()
    if count == 1:
        return []
    # one device of each process: unlike `process_allgather`, they may have different numbers
    speakers = {device.process_index: device for device in reversed(jax.devices())}
    mesh = Mesh(np.array([speakers[process] for process in range(count)]), ("process",))
    pieces, everywhere = NamedSharding(mesh, P("process")), NamedSharding(mesh, P())
    said = jax.make_array_from_process_local_data(pieces, np.array([here]), (count,))
    heard = jax.jit(lambda flags: flags, out_shardings=everywhere)(said)
    return np.flatnonzero(heard.addressable_data(0)).tolist()

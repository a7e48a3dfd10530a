"""Relevance of a whole data set: batched, sharded, resumable, losing nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from jax.typing import DTypeLike

from rfp_jax._runs import processes
from rfp_jax._runs.fingerprint import describe, differences, identify
from rfp_jax._transforms.propagation import relevance
from rfp_jax._transforms.walks import BiasMode
from rfp_jax._util.extras import needs_extra
from rfp_jax._util.trees import Json, Tree
from rfp_jax.rules import Composite, LayerRule
from rfp_jax.tables import _stored, _totals
from rfp_jax.tables._evaluate import layout
from rfp_jax.tables._evaluate.errors import TableMismatchError
from rfp_jax.tables._evaluate.job import Job
from rfp_jax.tables._evaluate.journal import Journal
from rfp_jax.tables._evaluate.options import Columns, Places, RunOptions
from rfp_jax.tables._evaluate.progress import say
from rfp_jax.tables._evaluate.run import Run
from rfp_jax.tables._evaluate.samples import DataSource
from rfp_jax.tables._evaluate.table import flat, nested

if TYPE_CHECKING:
    import xarray as xr


def evaluate(
    fun: Callable[..., Tree],
    data: DataSource,
    path: str | os.PathLike[str],
    *,
    params: Tree,
    sources: Sequence[str],
    classes: Sequence[str],
    other_inputs: Sequence[str] = (),
    labels: str | None = None,
    rules: str | Composite | LayerRule = "lrp0",
    bias: BiasMode | None = None,
    method: Callable[..., Callable[..., Tree]] = relevance,
    dtype: DTypeLike | None = None,
    columns: Columns | Sequence[str] | None = None,
    places: Places | None = None,
    run: RunOptions | None = None,
    manifest: Mapping[str, Json] | None = None,
    data_arguments: Mapping[str, Json] | None = None,
) -> xr.Dataset:
    """Compute the relevance of every source for every class of every sample, into a table on disk.

    The table is an xarray `Dataset` in zarr, with the dimensions `sample`, `source` (the sources,
    then `bias`) and `class`, the variables `relevance` and `output`, and, for every sample, `id`,
    `label`, `prediction`, the chosen metadata, `failure` (why it could not be evaluated, or "") and
    `finite` (whether all its numbers are finite).

    Call it again after a crash, with the same arguments: it goes on where it was. Until the table
    is complete it stands in `PATH.partial`, and nothing is at `path`. If a complete table is there,
    all its files are compared with their checksums, what is missing or damaged is computed anew,
    and the table is returned.

    Of outputs with places a row of the table (dimension `sample`) is a region: the places of one
    class in one sample of the data, which is the row's `label`. `relevance` and `output` are means
    over them, `pixels` [sample, class] counts them by the class that is predicted there, `number`
    is the sample's index in the data. `rfp_jax.tables.open(path, over="prediction")` has the means
    over the places of each predicted class instead.

    Every device of this process computes a batch of its own; processes that have joined (`join`)
    share the chunks between them, and each must be given the same arguments.

    Args:
        fun: the model, `fun(params, *inputs)`, for instance a Flax module's `apply`. It returns one
            array, [batch, classes], or an output for each place of a map or a sequence, [batch, y,
            x, class] or [batch, time, class], or classes second; samples must not influence one
            another.
        data: random access to samples, each a mapping of names to values without a batch axis: a
            Grain data source, a `grain.MapDataset`, a list, a `torch.utils.data.Dataset` or the
            `DataLoader` of one. Read by several threads at once.
        path: where to put the table; a folder, by custom with the suffix `.zarr`.
        params: the parameters of the model, a tree of arrays.
        sources: names of the sources, which are the first arguments of the model, in order.
        classes: names of the outputs.
        other_inputs: names of the arguments that follow and are not sources: masks, dates, ids,
            of any number or bool dtype. (`columns.inputs` names another order of all.)
        labels: the kind of label: `"class"` (the number or name of one class, or one-hot; -1, NaN
            or None where it is unknown), `"multi"` (0 or 1 for each class, or names of classes),
            `"soft"` (a probability for each class), `"target"` (a number for each output). By
            default it is found out from samples all over the data, if they have one reading. Of
            outputs with places it is the number of a class for each place.
        rules: the rules of propagation, as for `rfp_jax.relevance`.
        bias: what becomes of biases, as for `rfp_jax.relevance`; by default what `method` does.
        method: what makes the function that returns a `Relevance`: called as
            `method(fun, argnums=(1, 2, ...), rules=rules)`, and with `bias=` where it is given.
            Each leaf of the relevance's `sources` is a source, [batch, classes], or a stack of
            them, [n, batch, classes].
        dtype: the floating-point dtype of the inputs; by default that of the samples.
        columns: where things are in a sample, and what of them the table keeps; a sequence of
            names, `("optical", "sar", "label")`, names the parts of samples that are tuples.
        places: what to know of outputs with places: where the classes are, labels that do not
            count, whether maps are kept.
        run: how the run works: chunks, batches, memory, devices, threads, how many may fail.
        manifest: what to know about the model (architecture, checkpoint, hash ...), kept in the
            table's attributes.
        data_arguments: what to know about the data (name, split, arguments), kept likewise.

    Returns:
        The table, opened lazily. In several processes, all of them get it.

    Raises:
        TableMismatchError: the table at `path` was begun with other arguments; names each.
        TableFormatError: the table at `path` was written by the first edition; says what to do.
        TableInUseError: another run is writing it.
        DamagedTableError: files of the table were damaged in a way that computing cannot mend;
            names them and says what to do.
        BadSampleError: `run.strict` and a sample is bad, more than `run.max_failures` have failed,
            or none can be read.
        FileExistsError: there is something at `path` that is not a table.
        ValueError, TypeError: the arguments do not fit one another; says how.
        OSError: the disk is full, for instance; what is committed stays, and the next call goes on.

    Examples:
        >>> import tempfile, numpy as np, rfp_jax
        >>> from rfp_jax.tables import RunOptions, evaluate
        >>> data = [
        ...     {"optical": np.float32([i, 1]), "sar": np.float32([1, 2]), "label": 1}
        ...     for i in range(6)
        ... ]
        >>> params = {"optical": np.eye(2, dtype="float32"), "sar": np.ones((2, 2), "float32")}
        >>> def model(params, optical, sar):
        ...     return optical @ params["optical"] + sar @ params["sar"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = evaluate(
        ...         model, data, f"{folder}/relevance.zarr", params=params,
        ...         sources=("optical", "sar"), classes=("water", "forest"),
        ...         run=RunOptions(progress=False),
        ...     ).load()
        >>> table.relevance.sel(source="sar").mean().item()
        3.0
        >>> table.sizes["sample"], table.prediction.values.tolist()
        (6, [1, 0, 0, 0, 0, 0])
    """
    with needs_extra("Evaluating a data set", "tables"):
        import grain  # noqa: F401  (found missing here rather than in the middle of a run)
        import rich  # noqa: F401
        import xarray  # noqa: F401
        import zarr  # noqa: F401

    run, columns = run or RunOptions(), Columns.from_argument(columns)
    options = {"rules": rules} | ({} if bias is None else {"bias": bias})
    with processes.phase():
        job = Job.from_arguments(
            lambda argnums: method(fun, argnums=argnums, **options),
            params,
            data,
            sources=sources,
            classes=classes,
            other_inputs=other_inputs,
            labels=labels,
            dtype=dtype,
            columns=columns,
            places=places,
            run=run,
            made={
                "rules": describe(rules),
                "method": describe(method),
                "bias": bias or "by the method",
            },
            manifest=manifest,
            data_arguments=data_arguments,
        )
    journal = Journal(Path(path).absolute())
    batch = job.batch(run.batch)
    wanted = {**job.identity, **({} if batch is None else {"batch": batch})}
    with ExitStack() as stack:
        with processes.phase():
            if processes.is_first():
                journal.begin(stack)
        with processes.phase():
            complete = layout.is_table(journal.path)
            there = nested(layout.read_root(journal.path)["attributes"]) if complete else None
            there = there or journal.attributes()
            _same(journal, there or wanted, wanted)
        with processes.phase():
            if processes.is_first() and complete:
                say(journal.reopen(stack), shown=run.progress)
        with processes.phase():
            complete = layout.is_table(journal.path)
        if complete:
            return _stored.open(path)
        with processes.phase():
            compiled = job.compile(batch or (there or {}).get("batch"), run)
        with processes.phase():
            if processes.is_first():
                if not journal.table.exists():
                    attributes = {**job.identity, "batch": compiled.batch}
                    journal.create(job.table, job.chunks, flat(identify(attributes)))
                journal.resume(job.table)
        with processes.phase():  # the other processes must compute the same, in the same batches
            begun = journal.attributes() or {}
            _same(journal, begun, wanted)
            if compiled.batch != begun["batch"]:
                compiled = job.compile(begun["batch"], run)
        Run(journal, job, compiled, run)()
        with processes.phase():
            if processes.is_first():
                journal.publish(job.table, job.chunks)
    found = _stored.open(path)
    if run.progress and processes.is_first():
        _totals.print_summary(found)
    return found


def _same(journal: Journal, there: Mapping[str, Json], now: Mapping[str, Json]) -> None:
    if found := differences({key: there.get(key) for key in now}, now):
        message = f"the table at {journal.path} is another one:"
        remedy = "Give the arguments that it was begun with, or another path, or remove it."
        raise TableMismatchError("\n".join([message, *found, remedy]))

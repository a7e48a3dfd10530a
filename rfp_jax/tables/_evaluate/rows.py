"""From a batch on the devices to rows of the table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._transforms.stacking import stack_sources
from rfp_jax._util.trees import Tree
from rfp_jax.tables._evaluate.devices import IN_FLIGHT, CompiledBatch
from rfp_jax.tables._evaluate.places import Dense, Form
from rfp_jax.tables._evaluate.plan import Slots
from rfp_jax.tables._evaluate.samples import Reader, ReadSample, Schema, stack
from rfp_jax.tables._evaluate.table import Row


def as_arrays(
    explained: Callable[..., Tree],
    sources: Sequence[str],
    classes: Sequence[str],
    form: Form | None = None,
) -> Callable[..., tuple[jax.Array, jax.Array] | Dense]:
    """Turn a function that returns a `Relevance` into one that returns what rows are made of.

    Args:
        explained: maps parameters and inputs to a `Relevance`, see `stack_sources`.
        sources: names of the sources.
        classes: names of the outputs.
        form: that of outputs with places: means over regions are returned, and labels are taken
            after the inputs.

    Returns:
        A function of the same arguments; it returns relevance, [batch, sources + 1, classes], the
        bias last, and output, [batch, classes]. It raises ValueError where the numbers of sources
        and classes are not those of their names.
    """

    def arrays(params: Tree, *given: jax.Array) -> tuple[jax.Array, jax.Array] | Dense:
        has_label = form is not None and form.is_labeled
        inputs, label = (given[:-1], given[-1]) if has_label else (given, None)
        relevance = explained(params, *inputs)
        batch = inputs[0].shape[0]
        shape = (batch, len(classes)) if form is None else form.shape(batch)
        stacked = stack_sources(relevance, sources, shape)
        if form is not None:
            return form.reduce(stacked, relevance.output, label)
        return jnp.moveaxis(stacked, 0, 1), jnp.reshape(relevance.output, shape)

    return arrays


class _Samples:
    """The samples of all slots, for Grain to read in threads."""

    def __init__(self, slots: Slots, reader: Reader, schema: Schema):
        self._slots, self._reader, self._schema = slots, reader, schema

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, index: int) -> tuple[ReadSample | None]:
        sample = self._slots[index]  # in a tuple, because Grain leaves out what is None
        return (None if sample is None else self._reader.read(sample, self._schema),)


def compute(
    slots: Slots, reader: Reader, schema: Schema, compiled: CompiledBatch, *, threads: int
) -> Iterator[list[Row]]:
    """Compute all slots in order, a list of rows for each batch, without those of padding.

    Threads read ahead, and a batch is sent to the devices before the one before it is fetched, so
    reading, transfer and computation overlap.

    Args:
        slots: which samples, in which order.
        reader: reads them.
        schema: what they must look like.
        compiled: computes a batch.
        threads: how many threads read.
    """
    import grain

    options = grain.ReadOptions(
        num_threads=threads, prefetch_buffer_size=max(threads, compiled.samples)
    )
    source = grain.MapDataset.source(_Samples(slots, reader, schema)).to_iter_dataset(options)
    flying: deque[tuple[list[ReadSample | None], Tree]] = deque()
    for read in source.batch(compiled.samples, batch_fn=list):
        samples = [sample for (sample,) in read]
        samples += [None] * (compiled.samples - len(samples))
        result = compiled(stack(samples, schema))
        flying.append(([s and s._replace(inputs=()) for s in samples], result))
        if len(flying) >= IN_FLIGHT:
            yield _fetch(*flying.popleft())
    for samples, result in flying:
        yield _fetch(samples, result)


def _fetch(samples: Sequence[ReadSample | None], result: Tree) -> list[Row]:
    fetched = jax.tree.map(np.asarray, tuple(result))
    return [
        Row(sample, *jax.tree.map(lambda array, i=i: array[i], fetched))
        for i, sample in enumerate(samples)
        if sample
    ]

"""Batches: slots, transfers, memory, and the types of paths."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rfp_jax.tables import (
    Columns,
)
from rfp_jax.tables._evaluate.devices import batched, compile_batch, compile_largest
from rfp_jax.tables._evaluate.plan import Chunks, Slots
from rfp_jax.tables._evaluate.rows import compute
from rfp_jax.tables._evaluate.samples import Keys, Reader
from rfp_jax.tables._evaluate.schema import infer, look
from tests.tables.evaluate_runs import CLASSES, SOURCES, Patches, run


@settings(max_examples=200, deadline=None)
@given(
    samples=st.integers(1, 60),
    size=st.integers(1, 20),
    batch=st.integers(1, 25),
    keep=st.integers(0, 2**60 - 1),
)
def test_every_sample_has_one_slot_whatever_else_is_to_do(samples, size, batch, keep):
    chunks = Chunks(samples, size)
    every = range(len(chunks))
    todo = [chunk for chunk in every if keep >> chunk & 1]
    slots, all_slots = Slots(chunks, todo, batch), Slots(chunks, every, batch)
    found = [sample for sample in slots if sample is not None]
    assert found == [s for chunk in todo for s in range(samples)[chunks.bounds(chunk)]]
    assert len(slots) % batch == 0
    place = {sample: slot % batch for slot, sample in enumerate(all_slots)}
    assert all(place[s] == slot % batch for slot, s in enumerate(slots) if s is not None)


def reader_of(data, sources=SOURCES, classes=CLASSES):
    columns = Columns()
    reader = Reader(data, columns, Keys.from_columns(columns, sources, ()), tuple(classes))
    return reader, infer(reader, look(reader, None), None, lambda inputs, is_labeled: None)


def test_the_next_batch_is_sent_before_the_last_is_fetched():
    log = []

    class Result:
        def __init__(self, number):
            self.number = number

        def __array__(self, dtype=None, copy=None):
            log.append(f"fetch {self.number}")
            return np.zeros((4, 3, 3), np.float32)

    class Step:
        samples = batch = 4

        def __call__(self, inputs):
            number = sum(line.startswith("send") for line in log)
            log.append(f"send {number}")
            return Result(number), np.zeros((4, 3), np.float32)

    reader, schema = reader_of(Patches(12))
    rows = compute(Slots(Chunks(12, 12), (0,), 4), reader, schema, Step(), threads=2)
    assert [row.sample.number for batch in rows for row in batch] == list(range(12))
    assert log == ["send 0", "send 1", "fetch 0", "send 2", "fetch 1", "fetch 2"]


def wide(params, x):
    return jnp.tanh(jnp.sort(x @ params["in"], axis=-1) @ params["out"])


def test_batch_follows_the_memory_budget():
    params = {"in": np.ones((32, 4096), np.float32), "out": np.ones((4096, 8), np.float32)}
    data = [{"x": np.zeros(32, np.float32)}]
    _, schema = reader_of(data, ("x",), map(str, range(8)))
    batches = []
    for memory in (1 << 20, 1 << 21, 1 << 22, 1 << 23):
        step = compile_largest(wide, params, schema, jax.devices(), max_bytes=memory, largest=256)
        assert step.bytes <= memory
        assert step.batch & (step.batch - 1) == 0
        if step.batch < 256:  # the next larger one would not fit
            assert compile_batch(wide, params, schema, 2 * step.batch, jax.devices()).bytes > memory
        result = step([np.zeros((step.samples, 32), np.float32)])
        assert result.shape == (step.samples, 8)
        batches.append(step.batch)
    assert batches == sorted(batches)
    assert len(set(batches)) > 1
    assert batched(schema, 5)[0].shape == (5, 32)


def test_public_path_types(tmp_path):
    table = run(Patches(3), str(tmp_path / "deep" / "er" / "t.zarr"))
    assert Path(tmp_path / "deep/er/t.zarr").is_dir()
    assert table.sizes["sample"] == 3

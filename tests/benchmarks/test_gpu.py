"""The command for accelerators: it runs in its short form anywhere, and keeps to its time."""

import json
from dataclasses import replace

import jax
import pytest

from benchmarks import gpu as command
from benchmarks.speed import contestants, workloads


@pytest.fixture
def tiny(monkeypatch):
    """Two sources and a dense layer, in the place of SmallNet."""

    def make(batch):
        keys = jax.random.split(jax.random.key(0), 3)
        weights = jax.random.normal(keys[0], (6, 3))
        sources = tuple(jax.random.normal(key, (batch, 6)) for key in keys[1:])
        return workloads.Workload(
            "tiny", lambda w, x, y: jax.nn.relu(x @ w) + y @ w, weights, sources
        )

    monkeypatch.setattr(command, "SHORT", {"tiny": lambda: make(4)})
    monkeypatch.setattr(command, "PARITY", {"SmallNet": lambda: make(4)})
    monkeypatch.setattr(command, "SWEEPS", {"SmallNet": make})
    return make


def test_the_short_form_writes_all_tables(tiny, tmp_path):
    assert command.main(command.Options(short=True, out=tmp_path)) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert [each["precision"] for each in found["parity"]] == list(command.PRECISIONS)
    assert [step["batch"] for step in found["sweep"]] == [1, 2]
    assert {line["name"] for line in found["results"][0]["lines"]} >= {"forward", "relevance"}
    page = (tmp_path / "gpu.md").read_text()
    for title in ("parity: errors beside float64", "### tiny", "growing batches"):
        assert title in page
    assert not found["left_out"]


def test_errors_are_those_of_the_precision(tiny):
    float32, tf32, bfloat16 = command.parity("tiny", tiny(64))
    assert (float32.precision, tf32.precision, bfloat16.precision) == tuple(command.PRECISIONS)
    assert 0 < float32.sources < 1e-6
    assert 1e-4 < bfloat16.sources < 0.1
    assert float32.residual < 1e-6 < bfloat16.residual


def test_nothing_is_begun_when_the_time_is_spent(tiny, tmp_path, capsys):
    assert command.main(command.Options(short=True, minutes=0, out=tmp_path)) == 0
    left = json.loads((tmp_path / "gpu.json").read_text())["left_out"]
    assert left == ["parity of SmallNet", "benchmark of tiny", "batches of SmallNet beyond 1"]
    assert "Left out for want of time: parity of SmallNet;" in capsys.readouterr().out


def test_batches_grow_until_the_memory_is_spent(tiny):
    def make(batch):
        if batch > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return tiny(batch)

    assert [step.batch for step in command.grow("tiny", make, (1, 2, 4, 8), 3)] == [1, 2]

    def fails(batch):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        list(command.grow("tiny", fails, (1,), 3))


def test_what_one_workload_cannot_does_not_lose_the_rest(tiny, monkeypatch, tmp_path, capsys):
    written = []

    def fails(message):
        def make():
            written.append((tmp_path / "gpu.json").exists())
            raise jax.errors.JaxRuntimeError(message)

        return make

    makers = {
        "large": fails("RESOURCE_EXHAUSTED: Out of memory allocating\nmany lines"),
        "tiny": lambda: tiny(4),
        "double": fails("UNIMPLEMENTED: no float64 here"),
    }
    monkeypatch.setattr(command, "SHORT", makers)
    assert command.main(command.Options(short=True, out=tmp_path)) == 0
    assert written == [True, True]  # what was known before
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["failed"] == [
        "benchmark of large: RESOURCE_EXHAUSTED: Out of memory allocating",
        "benchmark of double: UNIMPLEMENTED: no float64 here",
    ]
    assert [result["workload"] for result in found["results"]] == ["tiny"]
    assert found["parity"]
    assert found["sweep"]
    sentence = "Not possible here: benchmark of large: RESOURCE_EXHAUSTED"
    assert sentence in (tmp_path / "gpu.md").read_text()
    assert sentence in capsys.readouterr().out
    monkeypatch.setattr(command, "SHORT", {"broken": fails("INTERNAL: something else")})
    assert command.main(command.Options(short=True, out=tmp_path)) == 1


def test_what_is_right_is_computed_on_the_cpu_in_float64(tiny):
    seen = []
    work = tiny(2)

    def fun(weights, x, y):
        seen.append((x.dtype, jax.config.jax_default_device))
        return work.fun(weights, x, y)

    contestants.truth(replace(work, fun=fun))
    assert seen == [("float64", jax.devices("cpu")[0])]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is an accelerator")
def test_without_an_accelerator_it_says_so(tmp_path, capsys):
    assert command.main(command.Options(out=tmp_path / "out")) == 2
    assert "JAX finds no accelerator here" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "out").exists()

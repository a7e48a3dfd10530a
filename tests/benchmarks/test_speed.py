"""The benchmark: all contestants answer alike, turns alternate, tables and figure come out."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks.speed import contestants, report, timing, workloads
from benchmarks.speed.contestants import Contestant
from benchmarks.speed.measure import measure
from benchmarks.speed.scaling import Point


def test_turns_alternate_and_slow_ones_get_few(monkeypatch):
    now, order = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def run(name, seconds):
        def turn():
            order.append(name)
            now[0] += seconds

        return turn

    runs = {"quick": run("quick", 0.01), "slow": run("slow", 10.0)}
    taken = timing.interleave(runs, rounds=6, seconds=20)
    assert order[:7] == ["quick"] * 6 + ["slow"]  # once to see how long it takes
    assert order[7:19] == (["quick"] * 5 + ["slow"]) * 2
    assert len(taken["quick"]) == 6
    assert len(taken["slow"]) == timing.FEW
    np.testing.assert_allclose(taken["quick"], 0.01)
    np.testing.assert_allclose(timing.ratios(taken["slow"], taken["quick"]), [1000] * 3)


@pytest.fixture(scope="module")
def small():
    work = workloads.make("a small one", workloads.SmallNet(), ((2, 8, 6, 1),) * 2, "smallnet")
    return replace(work, pieces=1)


@pytest.fixture(scope="module")
def measured(small):
    pytest.importorskip("captum")
    return measure(small, rounds=3, seconds=0.1)


def test_all_answers_are_right(measured):
    assert measured.failures == {}
    errors = {line.name: line.error for line in measured.lines}
    assert errors.pop("Shapley value") != errors.pop("perceptual score, 10 draws")  # NaN: others
    assert set(errors) == {
        "forward",
        "forward, rfp_jax.jit",
        "relevance",
        "relevance, XLA's defaults",
        "forward, in pieces of 1",
        "relevance, in pieces of 1",
        "heatmap of the arg-max",
        "heatmaps of all outputs",
        "vmap of jax.jvp",
        "jax.vjp, output by output",
        "Captum LRP of the arg-max",
        "Captum LRP of all outputs",
    }
    assert max(errors.values()) < 1e-5


def test_work_is_counted_but_not_that_of_loops(measured):
    """XLA counts the body of a loop once, whatever the loop does."""
    flops = {line.name: line.cost.flops for line in measured.lines if line.cost}
    loops = {name for name, count in flops.items() if np.isnan(count)}
    assert loops == {
        "forward, in pieces of 1",
        "relevance, in pieces of 1",
        "jax.vjp, output by output",
        "Shapley value",
        "perceptual score, 10 draws",
    }
    assert flops["forward"] < flops["relevance"] < 2.2 * flops["forward"]


def test_a_batch_in_pieces_is_the_whole_batch():
    def fun(scale, x, y):
        return {"sum": scale * (x + y).sum(1), "x": x}

    x, y = np.arange(24.0).reshape(6, 4), np.ones((6, 4))
    found = contestants.in_pieces(fun, 2)(3.0, x, y)
    np.testing.assert_array_equal(found["sum"], 3 * (x + y).sum(1))
    np.testing.assert_array_equal(found["x"], x)


def test_a_wrong_answer_is_not_timed(small, monkeypatch):
    def wrong(work):
        right = contestants.truth(work)["sources"]
        yield Contestant("swapped", lambda: right[::-1], "sources")

    monkeypatch.setattr("benchmarks.speed.contestants.of_jax", wrong)
    monkeypatch.setattr("benchmarks.speed.peers.captum", lambda work: ())
    monkeypatch.setattr("benchmarks.speed.contestants.of_baselines", lambda work: ())
    result = measure(small, rounds=3, seconds=0.1)
    assert list(result.failures) == ["swapped"]
    assert "swapped" not in {line.name for line in result.lines}


def test_the_unit_is_the_faster_forward_pass(small, monkeypatch):
    seconds = {"forward": 4.0, "forward, rfp_jax.jit": 2.0}

    def interleave(runs, **_):
        return {name: np.full(3, seconds.get(name, 8.0)) for name in runs}

    monkeypatch.setattr(timing, "interleave", interleave)
    result = measure(small, rounds=3, seconds=0.1, others=False)
    assert result.best == "forward, rfp_jax.jit"
    assert result.ratio("relevance") == 4
    assert result.line("relevance").plain == [2.0] * 3
    seconds["forward"] = 1.0
    assert measure(small, rounds=3, seconds=0.1, others=False).best == "forward"


def test_tables_and_figure(measured, tmp_path):
    growths = {"outputs": [Point(10, 1.0, 2.0, 2.0, 2.0), Point(1000, 1.0, 2.2, 2.2, 2.0)]}
    tables = [report.table(measured), report.growth("outputs", growths["outputs"])]
    text = report.markdown(tables)
    assert "| relevance " in text
    assert "| x best forward |" in text
    rows = [row for row in text.splitlines() if row.startswith("|")]
    assert all(len(row) > 20 and row.endswith("|") for row in rows)
    text = report.record([measured], growths)
    assert "NaN" not in text  # JSON has no such number
    record = json.loads(text)
    assert record["workloads"][0]["lines"][2]["name"] == "relevance"
    assert record["workloads"][0]["best"] in {"forward", "forward, rfp_jax.jit"}
    report.draw([measured], growths, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ("nothing",)}, "Unknown: nothing; known:"),
        ({"reference": Path("/nowhere")}, "/nowhere is no clone of the authors' code"),
    ],
)
def test_bad_options(options, message, tmp_path, capsys):
    assert command.main(command.Benchmark(**options, out=tmp_path / "out")) == 2
    assert message in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_the_workloads_have_two_sources():
    for make in workloads.WORKLOADS.values():
        work = jax.eval_shape(lambda make=make: make().sources)
        assert len(work) == 2

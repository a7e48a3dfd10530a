"""The benchmark: all contestants answer alike, turns alternate, tables and figure come out."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import rfp_jax
from benchmarks import __main__ as command
from benchmarks.speed import contestants, report, scaling, throughput, timing, training, workloads
from benchmarks.speed.contestants import Contestant
from benchmarks.speed.measure import Turns, measure, race
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
    taken = timing.interleave(runs, rounds=6, seconds=9)
    assert len(taken["slow"]) == 1  # alone it takes all of the budget
    assert len(taken["quick"]) == 6


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
    errors.pop("zennit LRP of all outputs", 0)  # where it is installed
    others = ("occlusion", "Shapley value", "perceptual score, 10 draws")
    assert all(np.isnan(errors.pop(name)) for name in others)  # another question
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
        "LMD's scheme, two passes",
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
        "occlusion",
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
        ({"reference": Path("/nowhere")}, "/nowhere is not a clone of the authors' code"),
    ],
)
def test_bad_options(options, message, tmp_path, capsys):
    assert command.main(command.Benchmark(**options, out=tmp_path / "out")) == 2
    assert message in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def layer(variables, x):
    return jax.nn.relu(x @ variables["in"]) @ variables["out"]


def tiny(**options):
    """Two dense layers on [2, 5, 3]: an output at each of five places."""
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = {"in": (3, 4), "out": (4, 3)}
    variables = {
        n: jax.random.normal(k, s) for (n, s), k in zip(shapes.items(), keys, strict=False)
    }
    x = jax.random.normal(keys[2], (2, 5, 3))
    return workloads.Workload("tiny", options.pop("fun", layer), variables, (x,), **options)


def names(work):
    result = measure(work, rounds=3, seconds=0.01)
    assert result.failures == {}
    return {line.name for line in result.lines}


def test_an_output_at_each_place_is_not_explained_one_by_one():
    found = names(tiny(dense=True))
    assert {"relevance", "vmap of jax.jvp", "LMD's scheme, two passes", "occlusion"} <= found
    assert not found & {"heatmaps of all outputs", "jax.vjp, output by output"}


def test_sources_along_an_axis():
    """All ways agree on five sources in one array, more than all coalitions are tried for."""
    work = tiny(axis=1, fun=lambda variables, x: layer(variables, x).sum(1))
    assert work.count == 5
    found = names(work)
    assert {"relevance of the arg-max", "heatmaps of all outputs", "vmap of jax.jvp",
            "jax.vjp, output by output", "Shapley value, two orders"} <= found  # fmt: skip
    assert "Shapley value" not in found
    fun, slices = work.apart()
    np.testing.assert_allclose(
        fun(work.variables, *slices), work.fun(work.variables, *work.sources), rtol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_precisions(dtype):
    work = workloads.in_dtype(tiny(axis=1, fun=lambda v, x: layer(v, x).sum(1)), dtype)
    assert work.dtype == dtype
    result = measure(work, rounds=3, seconds=0.01, others=False)
    assert result.failures == {}
    worst = max(line.error for line in result.lines)
    assert (worst < 1e-12) if dtype == "float64" else (1e-4 < worst < 0.1)


def test_where_half_precision_pays_it_takes_part(monkeypatch):
    monkeypatch.setattr(contestants, "half_pays", lambda: True)
    work = tiny(axis=1, fun=lambda v, x: layer(v, x).sum(1))
    result = measure(work, rounds=3, seconds=0.01, others=False, tolerance=0.1)
    assert result.failures == {}
    (line,) = (line for line in result.lines if "contributions in bfloat16" in line.name)
    assert 1e-5 < line.error < 0.05


def test_training_steps_are_checked_and_the_plain_one_is_the_unit():
    weights, left, right = (
        jax.random.normal(key, shape)
        for key, shape in zip(
            jax.random.split(jax.random.key(0), 3), ((5, 10), (4, 5), (4, 5)), strict=True
        )
    )
    fun = lambda w, x, y: jax.nn.relu(x @ w) + y @ w  # noqa: E731
    work = workloads.Workload("tiny", fun, weights, (left, right))
    result = training.train(work, rounds=3, seconds=0.01)
    assert result.failures == {}
    assert [line.name for line in result.lines] == ["training step", "with relevance loss"]
    assert result.best == "training step"
    assert "x best training step" in report.markdown([report.table(result)])


def test_superpixels_divide_the_image():
    """Up to 1,024 squares, which together have the relevance of the whole image."""
    sizes = []
    for size, work, split in scaling.superpixels():
        sizes.append(size)
        (image,) = work.sources
        parts = np.unique(scaling.squares(scaling.SIDE, int(size**0.5)), return_counts=True)
        np.testing.assert_array_equal(parts[0], np.arange(size))
        assert set(parts[1]) == {image.size // size}
        assert split.count(image.shape) == size
    assert sizes[-1] == 1024
    first = scaling.squares(4, 2)[0, :, :, 0]
    np.testing.assert_array_equal(first, [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])


def test_a_growth_is_measured(monkeypatch):
    """Each size is explained part by part, in all that is timed."""
    ids = np.array([0, 0, 1, 1, 2])[None, :, None]
    work = tiny(fun=lambda variables, x: layer(variables, x).sum(1))
    points = [(3, work, rfp_jax.sources.segments(ids))]
    monkeypatch.setattr(scaling, "SCALINGS", {"superpixels": lambda: iter(points)})
    (point,) = scaling.scale("superpixels", rounds=3, seconds=0.01)
    assert point.size == 3
    assert point.relevance > 0
    assert not point.flops <= 1  # NaN, where they are pushed in a loop
    shown = report.markdown([report.growth("superpixels", [point])])
    assert "superpixels: squares of 64 x 64 pixels" in shown


def test_a_wrong_unit_is_an_error():
    wrong = Contestant("forward", lambda: np.zeros(3), "output", is_unit=True)
    with pytest.raises(RuntimeError, match="the plain computation is wrong itself"):
        race("x", 1, [wrong], {"output": np.ones(3)}, tolerance=1e-3, turns=Turns(1, 0.1))


@pytest.mark.long
def test_rates_from_disk_to_disk():
    found = throughput.rates(rounds=1, samples=8, images=4, side=16, scene=64)
    assert [rate.unit for rate in found] == ["samples", "images", "pixels"]
    assert all(rate.memory > 0 for rate in found)
    assert "disk to disk" in report.markdown([report.throughput(found)])


def test_each_workload_has_a_name_on_the_command_line():
    described = " ".join((command.Benchmark.__doc__ or "", Path(command.__file__).read_text()))
    for name in (*workloads.WORKLOADS, *training.TRAININGS):
        head, _, end = name.rpartition("-")
        assert name in described or (head in described and f"-{end}" in described), name

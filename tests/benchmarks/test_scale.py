"""Large jobs: estimates are products that can be done by hand, and the plan loses no chunk."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.scale import __main__ as command
from benchmarks.scale import costs, simulation
from benchmarks.scale.simulation import Assumptions, simulate
from rfp_jax._runs import processes
from rfp_jax.tables._evaluate.plan import Chunks, Slots

FEW = Assumptions(processes=20, seconds=60, spread=0.1, mtbf=5, detect=100, start=120)
"""Twenty processes, of which one fails every quarter of an hour."""


def test_no_chunk_is_lost_or_done_twice():
    found = simulate(range(2000), FEW)
    assert found.failures > 3
    assert (found.lost, found.repeated) == (0, 0)
    assert found.overhead > 0


def test_a_plan_that_deals_a_chunk_twice_is_found_out(monkeypatch):
    share = processes.chunks_of_process
    monkeypatch.setattr(
        processes, "chunks_of_process", lambda c, p, n: share(c, p, n) + tuple(c[:1]) * (p == 1)
    )
    assert simulate(range(200), FEW).repeated > 0


def test_without_failures_the_overhead_is_the_start_the_looks_and_a_last_reading():
    world = Assumptions(processes=10, spread=0, mtbf=np.inf, start=120, look=0.5, read=0.25)
    found = simulate(range(100), world)
    assert found.failures == 0
    assert found.useful == pytest.approx(100 * 60 / 3600)
    seconds = 120 + 100 * (2 * 0.5 + 0.25) + 10 * 60
    assert found.hours == pytest.approx(seconds / 3600)
    assert found.overhead == pytest.approx(10 * seconds / (100 * 60) - 1)


@pytest.mark.long
def test_a_million_chunks_on_a_thousand_processes_with_failures():
    failures = 0
    for plan in command.plans(1_000_000).values():
        for seed in range(3):
            found = simulate(range(len(plan)), Assumptions(), seed)
            assert len(found.commits) >= 1_000_000
            assert (found.lost, found.repeated) == (0, 0)
            assert found.overhead < 0.02
            failures += found.failures
    assert failures > 0


def test_all_samples_of_a_share_go_through_the_device_once():
    chunks = Chunks(samples=1003, size=10)
    shares = [processes.chunks_of_process(range(len(chunks)), process, 7) for process in range(7)]
    slots = [sample for mine in shares for sample in Slots(chunks, mine, batch=4)]
    assert sorted(sample for sample in slots if sample is not None) == list(range(1003))


def test_the_tiles_of_the_simulated_map_cover_each_pixel_once():
    plan = command.plans(100)["maps"]
    covered = np.zeros(plan.shape, int)
    for i in range(len(plan)):
        covered[plan[i].place] += 1
    assert (covered == 1).all()


FOUND = costs.Measured(
    items=4, seconds=2.0, flops=8e9, times_forward=3.0, memory=2**30, read=400, written=40
)


def test_hours_memory_and_bytes_are_products():
    job = costs.Job("data", "patches", 1000, lambda: FOUND)
    one, eight = (costs.estimate(job, FOUND, devices) for devices in (1, 8))
    assert one == costs.Estimate(1, 2**30, 250 * 440, 500 / 3600)
    assert eight.hours == pytest.approx(125 / 4 * 2 / 3600)
    assert eight.memory == one.memory  # weights are on each device
    quick = costs.estimate(job, FOUND, 1, flops=8e9)
    assert quick.hours == pytest.approx(one.hours / 2)


def test_weights_that_are_split_are_gathered_once_a_batch():
    job = costs.Job("large", "tokens", 1000, lambda: FOUND, parameters=1e9, width=10)
    one, eight = (costs.estimate(job, FOUND, devices) for devices in (1, 8))
    own = 2 * 4 * 10 * 3 * 8  # activations
    assert (one.memory - own, eight.memory - own) == (2e9, 2e9 / 8)
    assert one.moved == 1000 * 20
    assert eight.moved == pytest.approx(125 * 20 + 125 / 4 * 2e9 * 7 / 8)
    assert one.hours == pytest.approx(1000 * 2e9 * 3 / 4e9 / 3600)
    larger = costs.estimate(replace(job, batch=8), FOUND, 8)
    assert larger.moved == pytest.approx(125 * 20 + 125 / 8 * 2e9 * 7 / 8)
    assert larger.memory - eight.memory == own


def test_the_command_prints_what_is_measured_and_what_is_assumed(monkeypatch, capsys):
    monkeypatch.setattr(
        command, "JOBS", {"data": costs.Job("a data set", "patches", 1000, lambda: FOUND)}
    )
    options = command.Scale(chunks=400, processes=4)
    assert command.main(options) == 0
    shown = " ".join(capsys.readouterr().out.split())
    parts = ["a data set, 1,000 patches", "2 patches/s, 4 Gflop/s", "| 256 |", "Assumed:"]
    parts += ["us to see whether a chunk is committed", "| evaluate | 4 | 50,000 | 400 |"]
    assert all(part in shown for part in parts)
    assert command.main(command.Scale(only=("nothing",))) == 2
    assert simulation.Assumptions().processes == 1000

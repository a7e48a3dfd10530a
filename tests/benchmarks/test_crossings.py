"""Both directions answer alike, for groups along either axis, before they are timed."""

import jax
import numpy as np
import pytest

from benchmarks import direction as command
from benchmarks.speed import workloads


def network(weights, x):
    """Pixels [batch, y, band] to outputs [batch, class]."""
    return jax.nn.relu(x @ weights).sum(1)


def make(axis):
    weights = jax.random.normal(jax.random.key(0), (4, 3))
    x = jax.random.normal(jax.random.key(1), (2, 6, 4))
    return workloads.Workload("tiny", network, weights, (x,)), axis


@pytest.mark.parametrize(("axis", "sources"), [(-1, 2), (1, 3)])
def test_both_directions_answer_alike(axis, sources):
    work, axis = make(axis)
    programs = command.directions(work, axis, sources)
    found = programs["back"]()
    assert found.shape == (sources, 2, 3)
    weights, x = map(np.asarray, work.arguments)
    pushed = np.moveaxis((x[..., None] * weights) * (x @ weights > 0)[:, :, None], axis % 3, 0)
    by_hand = pushed.reshape(sources, -1, *pushed.shape[1:]).sum((1, 3))
    np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-6)


def test_the_command_prints_a_cell_for_each_pair(monkeypatch, capsys):
    monkeypatch.setattr(command, "NETWORKS", {"tiny": lambda sources, classes: make(-1)})
    assert command.main(sources=(2, 4), outputs=(1,), only=("tiny",), rounds=1) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if " / " in line]
    assert len(rows) == 3  # the title and two rows
    assert command.main(only=("nothing",)) == 2

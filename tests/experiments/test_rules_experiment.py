"""The comparison of rules: its numbers against those computed here, a control, its files."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.compare.measure import Case
from experiments.rules import __main__ as command
from experiments.rules.measure import NAMES, RANDOM, correlation, measure
from experiments.rules.show import COLUMNS, table
from rfp_jax import rules

WEIGHTS = [jnp.array([[1.0, -2.0], [0.5, 1.0]]), jnp.array([[3.0, 1.0]])]


def network(variables, left, right):
    """A linear network with a bias: whatever is true of relevance can be seen."""
    return left @ variables[0] + right @ variables[1] + 0.5


@pytest.fixture(scope="module")
def case():
    keys = jax.random.split(jax.random.key(0), 5)
    left, right = jax.random.normal(keys[0], (32, 2)), jax.random.normal(keys[1], (32, 1))
    return Case(
        fun=network,
        variables=WEIGHTS,
        random_variables=[jax.random.normal(keys[2], w.shape) for w in WEIGHTS],
        layers=(),
        images=(left, right),
        labels=np.asarray(jax.random.randint(keys[4], (32,), 0, 2)),
        sources=("left", "right"),
        classes=2,
    )


@pytest.fixture(scope="module")
def rows(case):
    return {row.rule: row for row in measure(case)}


def test_every_preset_and_composite_is_there(rows):
    assert tuple(rows) == NAMES
    composites = [name for name in rules.__all__ if name.startswith(("Epsilon", "Excitation"))]
    assert set(rows) >= {*composites, "lrp0", "uniform", "attnlrp"}
    assert rules.cp_lrp.table == rules.lrp0.table  # so it has no row of its own


def test_the_exact_decomposition_of_a_linear_network_passes_every_test(case, rows):
    found = rows["lrp0"]
    np.testing.assert_allclose([found.effect, found.others], 1, atol=1e-6)
    assert found.first_hurts_most == 1
    assert found.flops > 1


def test_numbers_are_those_of_their_definitions(case, rows):
    """Everything again for one rule, with NumPy alone; z-plus keeps positive messages."""
    (left, right), labels, index = case.images, case.labels, np.arange(32)
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    one, two = (np.asarray(w, np.float64) for w in WEIGHTS)
    messages = np.stack([left[:, :1] * one[:1], left[:, 1:] * one[1:], right * two])
    output = messages.sum(0) + 0.5

    def relevance(left, right):
        parts = (left[:, :, None] * one[None]).sum(1), right @ two
        return np.stack([part[index, labels] for part in parts])

    def value(left, right):
        return relevance(left, right).sum(0) + 0.5

    replaced = [(np.roll(left, 1, 0), right), (left, np.roll(right, 1, 0))]
    change = np.stack([value(left, right) - value(*each) for each in replaced])
    before, after = relevance(left, right), np.stack([relevance(*each) for each in replaced])
    effect = np.corrcoef(change.ravel(), (before - after[[0, 1], [0, 1]]).ravel())[0, 1]
    others = np.corrcoef(before[[1, 0]].ravel(), after[[0, 1], [1, 0]].ravel())[0, 1]
    np.testing.assert_allclose([rows["lrp0"].effect, rows["lrp0"].others], [effect, others])
    first = before.argmax(0)
    without = np.where(
        (first == 0)[:, None], right @ two + 0.5, (left[:, :, None] * one[None]).sum(1) + 0.5
    )
    accuracy = (without.argmax(1) == labels).mean()
    np.testing.assert_allclose(rows["lrp0"].accuracy_without_first, accuracy)
    target = output[index, labels]
    curve = (target + 2 * without[index, labels] + 0.5) / 4
    np.testing.assert_allclose(rows["lrp0"].area, curve.mean() / target.mean(), rtol=1e-4)


def test_random_numbers_fail(rows):
    found = rows[RANDOM]
    assert abs(found.effect) < 0.4
    assert abs(found.others) < 0.4
    assert abs(found.randomized) < 0.4


def test_correlation_is_that_of_numpy():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 7))
    np.testing.assert_allclose(correlation(a, b), np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert np.isnan(correlation(a, np.ones_like(a)))


def test_the_command_keeps_what_was_measured(case, rows, tmp_path, monkeypatch, capsys):
    calls = []

    def tiny(folder, samples, mnist, console):
        calls.append(folder)
        return case

    monkeypatch.setitem(command.NETWORKS, "digits", tiny)

    def broken(case, done):
        yield from list(rows.values())[:3]
        raise ValueError("the power is cut")

    def whole(case, done):
        assert done == set(NAMES[:3])
        return (row for row in rows.values() if row.rule not in done)

    config = command.Config(networks=("digits",), out=tmp_path / "rules")
    monkeypatch.setattr(command, "measure", broken)
    with pytest.raises(ValueError, match="power"):
        command.main(config)
    monkeypatch.setattr(command, "measure", whole)
    command.main(config)
    command.main(config)
    assert len(calls) == 2
    kept = json.loads((config.out / "digits.json").read_text())
    assert [row["rule"] for row in kept] == list(rows)
    assert (config.out / "rules.png").stat().st_size > 10_000
    shown = capsys.readouterr().out
    assert "ExcitationBackprop" in shown
    assert "measured already" in shown
    assert len(table(list(rows.values()), "digits").columns) == 1 + len(COLUMNS)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"networks": ("resnet",)}, "choose from digits"), ({"samples": 1}, "at least 2")],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        command.Config(**options)

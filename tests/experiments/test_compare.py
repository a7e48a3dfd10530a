"""The comparison of methods: its rows against the same numbers computed here, controls, files."""

import io
import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import linen as nn
from rich.console import Console
from scipy.stats import spearmanr

from experiments.compare import __main__ as command
from experiments.compare import measure
from experiments.compare.measure import Case, compare
from experiments.compare.methods import attributions
from experiments.compare.show import WIDTH, figure, table
from experiments.mnist.settings import Settings

SOURCES = ("left", "right")


class Network(nn.Module):
    """Two dense layers on two sources."""

    @nn.compact
    def __call__(self, left, right):
        """Logits [batch, 3]."""
        hidden = nn.Dense(8, name="hidden")(left) + nn.Dense(8, name="other")(right)
        return nn.Dense(3, name="last")(nn.relu(hidden))


@pytest.fixture(scope="module")
def case():
    keys = jax.random.split(jax.random.key(0), 5)
    network = Network()
    images = tuple(jax.random.normal(key, (24, 6)) for key in keys[:2])
    return Case(
        fun=network.apply,
        variables=network.init(keys[2], *images),
        random_variables=network.init(keys[3], *images),
        layers=("params/last", "params/hidden", "params/other"),
        images=images,
        labels=np.asarray(jax.random.randint(keys[4], (24,), 0, 3)),
        sources=SOURCES,
        classes=3,
    )


@pytest.fixture(scope="module")
def rows(case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "SECONDS", 0.0)
        return {row.method: row for row in compare(case, jax.random.key(1))}


def test_every_method_is_there(rows):
    assert list(rows) == [
        "RFP",
        "LRP by output",
        "LRP, EpsilonPlus",
        "gradient × input",
        "integrated gradients",
        "occlusion",
        "Shapley value",
        "Shapley value, sampled",
        "random numbers",
        "perceptual score",
        "perceptual score, sampled",
        "SHAPE score",
        "SHAPE score, sampled",
    ]
    assert all(row.seconds > 0 and set(row.value) == set(SOURCES) for row in rows.values())


def test_numbers_of_occlusion_are_those_of_its_definition(case, rows):
    """Everything again, from outputs alone, with NumPy and SciPy."""
    left, right = case.images
    whole, without_left, without_right = (
        np.asarray(case.fun(case.variables, *images))
        for images in ((left, right), (0 * left, right), (left, 0 * right))
    )
    occlusion = np.stack([whole - without_left, whole - without_right])
    picked = occlusion[:, np.arange(24), case.labels]
    row = rows["occlusion"]
    assert [row.value[name] for name in SOURCES] == pytest.approx(picked.mean(1), rel=1e-4)
    share = np.abs(picked[0]) / np.abs(picked).sum(0)
    assert row.share["left"] == pytest.approx(np.median(share), rel=1e-4)
    gradients = jax.vmap(
        jax.jacrev(lambda *x: case.fun(case.variables, *(v[None] for v in x))[0], (0, 1))
    )(left, right)
    relevance = np.stack(
        [np.einsum("nki,ni->nk", g, x) for g, x in zip(gradients, case.images, strict=True)]
    )
    correlation = [
        spearmanr(occlusion[:, n].ravel(), relevance[:, n].ravel()).statistic for n in range(24)
    ]
    assert row.rank_correlation == pytest.approx(np.mean(correlation), abs=1e-5)
    assert row.l1 == pytest.approx(np.abs(occlusion - relevance).mean(), rel=1e-4)
    order = np.argsort(-relevance[:, np.arange(24), case.labels], axis=0)
    fallen = np.where(order[0] == 0, without_left.argmax(1), without_right.argmax(1))
    assert rows["RFP"].accuracy_without_first == pytest.approx(np.mean(fallen == case.labels))
    hurts = picked[order[0], np.arange(24)] >= picked.max(0)
    assert rows["RFP"].first_hurts_most == pytest.approx(hurts.mean())
    assert row.first_hurts_most == 1


def test_methods_that_are_the_same_agree_and_the_control_does_not(rows):
    for name in ("LRP by output", "gradient × input"):
        assert rows[name].rank_correlation == pytest.approx(1, abs=1e-3)
        assert rows[name].l1 < 1e-5
    control = rows["random numbers"]
    assert abs(control.rank_correlation) < 0.3
    assert set(control.randomized.values()) == {1.0}  # it does not look at the weights
    for name in ("RFP", "Shapley value"):
        assert list(rows[name].randomized) == ["params/last", "params/hidden", "params/other"]
        assert rows[name].randomized["params/other"] < 0.6


def test_costs_are_counted_passes(case, rows):
    """The network counts how often it is called on a batch; a loop counts as its length."""
    assert (rows["RFP"].passes, rows["RFP"].linear) == (1, 2)
    assert (rows["LRP by output"].passes, rows["LRP by output"].linear) == (1, 3)
    assert rows["Shapley value"].passes == 4
    assert rows["perceptual score"].passes == 2 * 24 + 1
    calls = []

    def counting(variables, *images):
        jax.debug.callback(lambda _: calls.append(1), images[0][0, 0])
        return case.fun(variables, *images)

    for method in attributions(counting, 2, 3, jax.random.key(0)):
        if method.name in ("occlusion", "Shapley value", "Shapley value, sampled"):
            calls.clear()
            jax.block_until_ready(method.explain(case.variables, case.images))
            jax.effects_barrier()
            assert len(calls) == method.cost.passes, method.name


def test_table_and_figure_show_every_method(rows):
    some = list(rows.values())
    assert table(some, SOURCES).row_count == len(rows)
    drawn = figure(some, SOURCES)
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels == list(rows)
    widths = [patch.get_width() for patch in drawn.axes[0].patches]
    assert np.reshape(widths, (2, -1)).sum(0) == pytest.approx(
        [sum(row.share.values()) for row in some]
    )
    assert sum(text.get_text() == "–" for text in drawn.axes[1].texts) == 4


def test_the_table_has_room_for_large_numbers(rows):
    large = [
        replace(
            row,
            value=dict.fromkeys(SOURCES, -12.34),
            seconds=99.999,
            rank_correlation=-0.123,
            randomized={"all": -0.123},
        )
        for row in rows.values()
    ]
    console = Console(width=WIDTH, file=io.StringIO())
    console.print(table(large, SOURCES))
    assert "…" not in console.file.getvalue()


def test_command_tries_every_method_on_a_trained_network(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    monkeypatch.setattr(command, "compare", lambda case, key: list(compare_some(case, key)))
    out = tmp_path / "results"
    settings = Settings(epochs=1, batch_size=240)
    command.main(settings, samples=16, out=out)
    rows = json.loads((out / "compare.json").read_text())
    assert rows[0]["method"] == "RFP"
    assert next(iter(rows[0]["randomized"])) == "params/Dense_1"
    assert (out / "compare.png").stat().st_size > 10_000
    shown = capsys.readouterr().out
    assert str(out / "compare.png") in shown
    assert "…" not in shown  # nothing is cut
    with pytest.raises(SystemExit, match=r"samples_in_batch: 16 there, 8 now"):
        command.main(settings, samples=8, out=out)
    with pytest.raises(SystemExit, match="samples must be at least 1, got 0"):
        command.main(settings, samples=0, out=tmp_path / "other")


def compare_some(case, key):
    """The first row of the comparison; all of them are measured above."""
    yield next(compare(case, key))

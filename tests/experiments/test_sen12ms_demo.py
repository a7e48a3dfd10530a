"""SEN12MS: the demonstration and the commands."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from experiments.sen12ms import training
from experiments.sen12ms.__main__ import cli, main, show
from experiments.sen12ms.demo import demo
from experiments.sen12ms.evaluation import bias_of, open_tables
from experiments.sen12ms.plotting import draw
from experiments.sen12ms.settings import Data, Demo, Evaluate, Plot, Train
from tests.experiments.tiny_sen12ms import QUIET, SIZE

pytestmark = pytest.mark.usefixtures("tiny_networks")


def test_demo_does_everything_and_goes_on(tmp_path, monkeypatch, capsys):
    config = Demo(
        out=tmp_path / "demo",
        patches=40,
        size=SIZE,
        epochs=1,
        batch_size=8,
        architecture="smallnet",
        width=None,
        relevance_loss=0,
    )
    drawn = []

    def draw_once(plot):  # drawing takes longest
        drawn.append(plot.out)
        return draw(plot) if len(drawn) == 1 else []

    monkeypatch.setattr("experiments.sen12ms.demo.draw", draw_once)
    summaries = demo(config, QUIET)
    assert list(summaries) == ["cross_entropy", "cross_entropy, biases shared among the sources"]
    assert drawn == [config.figures("cross_entropy", bias) for bias in ("keep", "share")]
    there = {path.name for path in drawn[0].iterdir()}
    assert {"cloud_cover.png", "sheet.png", "examples.png"} <= there
    kept, shared = (
        open_tables(config.evaluate("cross_entropy", bias).out)["cloudy"]
        for bias in ("keep", "share")
    )
    assert (bias_of(kept), bias_of(shared)) == ("keep", "share")
    np.testing.assert_array_equal(kept.output, shared.output)
    biases = [abs(table.relevance.sel(source="bias")).mean() for table in (kept, shared)]
    assert biases[1] < 1e-5 < biases[0]
    stamp = (config.out / "cross_entropy" / "checkpoint" / "manifest.json").stat().st_mtime_ns
    monkeypatch.setattr(training, "make_step", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(training, "_validate", lambda *_: pytest.fail("trained again"))
    with pytest.raises(ValueError, match="is another synthetic archive"):
        demo(dataclasses.replace(config, patches=50), QUIET)
    assert (
        stamp == (config.out / "cross_entropy" / "checkpoint" / "manifest.json").stat().st_mtime_ns
    )
    show(summaries["cross_entropy"], Console())
    assert "perceptual score of sar" in capsys.readouterr().out


def test_help_is_there():
    call = [sys.executable, "-m", "experiments.sen12ms", "--help"]
    found = subprocess.run(call, capture_output=True, text=True, check=True)
    assert "usage: python -m experiments.sen12ms" in found.stdout


@pytest.mark.parametrize("command", ["train", "evaluate", "plot", "demo"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli([command, "--help"])
    assert end.value.code == 0
    assert f"usage: python -m experiments.sen12ms {command}" in capsys.readouterr().out


def test_bad_input_ends_with_one_line_and_code_1(tmp_path, capsys):
    for command in (
        Train(data=Data(tmp_path / "nowhere"), out=tmp_path / "a"),
        Evaluate(checkpoint=tmp_path / "nowhere"),
        Plot(evaluation=tmp_path / "nowhere"),
    ):
        with pytest.raises(SystemExit, match="error: "):
            main(command)
    assert not list(tmp_path.iterdir())

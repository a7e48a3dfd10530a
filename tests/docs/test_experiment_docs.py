"""The commands on the pages of the experiments are those that there are."""

import re
import shlex
from pathlib import Path

import pytest
import tyro

from experiments import regression
from experiments.clouds import __main__ as clouds
from experiments.compare import __main__ as comparison
from experiments.mnist import __main__ as mnist
from experiments.rules import __main__ as rules
from experiments.segmentation import __main__ as segmentation

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "experiments.md").read_text()
BOTH = PAGE + (DOCS / "which_rule.md").read_text()
COMMANDS = sorted(set(re.findall(r"^\$ python -m (experiments\.[^#\n]+?) *(?:#.*)?$", BOTH, re.M)))
RUN = {
    "experiments.mnist": mnist.main,
    "experiments.compare": comparison.run,
    "experiments.clouds": lambda args: tyro.cli(clouds.Config, args=args),
    "experiments.segmentation": segmentation.main,
    "experiments.rules": lambda args: tyro.cli(rules.Config, args=args),
    "experiments.regression": lambda args: tyro.cli(regression.main, args=args),
}


def help_of(module, subcommand, capsys):
    with pytest.raises(SystemExit) as exit:
        RUN[module]([*subcommand, "--help"])
    assert exit.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("line", COMMANDS)
def test_flags_of_every_command_exist(line, capsys):
    module, *words = shlex.split(line)
    subcommand = [word for word in words[:1] if not word.startswith("-")]
    shown = help_of(module, subcommand, capsys)
    for flag in (word for word in words if word.startswith("--")):
        assert re.search(rf"{flag}\b", shown), flag


def test_every_setting_of_a_source_is_a_flag(capsys):
    shown = help_of("experiments.mnist", ["playground"], capsys)
    for flag in re.findall(r"`(--[\w.-]+)`", PAGE):
        if not flag.startswith(("--help", "--out")):
            assert flag in shown, flag
    assert all(command.split()[0] in RUN for command in COMMANDS)
    assert len(COMMANDS) >= 10

"""The whole experiment on a small synthetic archive, without a download."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from experiments.sen12ms.evaluation import evaluate
from experiments.sen12ms.plotting import draw
from experiments.sen12ms.settings import Bias, Demo, Plot
from experiments.sen12ms.training import train
from rfp_jax.datasets.sen12ms import SYNTHETIC, synthesize

BIASES: dict[Bias, str] = {"keep": "", "share": ", biases shared among the sources"}
"""Both ways to deal with biases, and how they are called."""


def demo(config: Demo, console: Console) -> dict[str, Any]:
    """Synthesize, train with and without relevance loss, evaluate clear and cloudy, draw.

    Steps that are complete already are not done again.

    Args:
        config: what can be set.
        console: where to show progress.

    Returns:
        The summaries of the evaluations, by network and bias, and by condition.

    Raises:
        ValueError: if `config.out` holds a demo with other settings.
    """
    synthetic_archive(config, console)
    networks = {"cross_entropy": 0.0}
    if config.relevance_loss:
        networks["relevance_loss"] = config.relevance_loss
    summaries = {}
    for name, weight in networks.items():
        console.print(f"\n[bold]{name}[/bold]: training on synthetic patches")
        train(config.train(name, weight), console)
        for bias, words in BIASES.items():
            summaries[name + words] = evaluate(config.evaluate(name, bias), console)
    for name in networks:
        others = [other for other in networks if other != name and name == "cross_entropy"]
        for bias in BIASES:
            evaluated = config.evaluate(name, bias)
            drawn = Plot(
                data=config.data,
                evaluation=evaluated.out,
                compare=config.evaluate(others[0], bias).out if others else None,
                checkpoint=evaluated.checkpoint,
                out=config.figures(name, bias),
            )
            for path in draw(drawn):
                console.print(path, soft_wrap=True)
    return summaries


def synthetic_archive(config: Demo, console: Console) -> Path:
    """Write the synthetic archive unless it is there.

    Args:
        config: what can be set.
        console: where to show progress.

    Returns:
        Its folder.

    Raises:
        ValueError: if there is another archive.
    """
    note = config.archive / SYNTHETIC
    if note.is_file():
        there, wanted = json.loads(note.read_text()), _facts(config)
        if any(there.get(key) != value for key, value in wanted.items()):
            raise ValueError(
                f"{config.archive} is another synthetic archive than one of {wanted}: choose "
                "another folder (--out), or remove it"
            )
        return config.archive
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Synthesizing patches", total=config.patches)
        return synthesize(
            config.archive,
            config.patches,
            size=config.size,
            seed=config.seed,
            advance=lambda: progress.advance(task),
        )


def _facts(config: Demo) -> dict[str, int]:
    return {"patches": config.patches, "size": config.size, "seed": config.seed}

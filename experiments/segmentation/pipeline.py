"""All of it: synthesize, train, explain, sum up, draw. What is complete is not done again."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import Progress

from experiments.command import atomic_outputs, bar
from experiments.results import claim, write_json
from experiments.segmentation.explaining import Paired, explainer, measure, pairs
from experiments.segmentation.figures import Shown, maps, over_distance
from experiments.segmentation.settings import Demo, Run
from experiments.segmentation.summary import summarize
from experiments.segmentation.training import train
from rfp_jax.datasets.sen12ms import SYNTHETIC, synthesize

MEASURED, SUMMARY = "measured.json", "summary.json"
FREE = ("threads", "rows", "out")
"""Settings that change no number."""

LOOKED_AT = 64
"""The maps show patches among so many, those of which most nearly a half is under clouds."""


def demo(config: Demo, console: Console) -> dict[str, Any]:
    """Synthesize an archive and run everything on it.

    Args:
        config: what can be set.
        console: where to show progress.

    Returns:
        See `run`.

    Raises:
        ValueError: if `config.out` holds another archive or other results.
    """
    make_archive(config, console)
    return run(config.run, console)


def make_archive(config: Demo, console: Console) -> None:
    """Synthesize the archive, unless it is there.

    Args:
        config: what can be set.
        console: where to show progress.

    Raises:
        ValueError: if `config.out` holds another archive.
    """
    wanted = {"patches": config.patches, "size": config.size, "seed": config.networks.seed}
    note = config.archive / SYNTHETIC
    if note.is_file():
        there = json.loads(note.read_text("utf-8"))
        if any(there.get(name) != value for name, value in wanted.items()):
            raise ValueError(
                f"{config.archive} is another synthetic archive than one of {wanted}: choose "
                "another folder (--out) or remove it"
            )
    else:
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("Synthesizing patches", total=config.patches)
            synthesize(config.archive, **wanted, advance=lambda: progress.advance(task))


def run(config: Run, console: Console) -> dict[str, Any]:
    """Train the networks, explain the test patches that have a cloudy twin, draw.

    Args:
        config: what can be set.
        console: where to show progress.

    Returns:
        What `summary.json` holds, see `summary.summarize`.

    Raises:
        OtherExperimentError: if `config.out` holds something else; nothing is overwritten.
        FileNotFoundError, ValueError: if the data are not there or do not fit.
    """
    data = config.open("test", cloud_fraction=1)
    measured, variables = [], {}
    for seed, variables[seed] in networks(config, console):
        measured.append(_measured(config, variables[seed], _folder(config, seed), console))
    summary = summarize(measured, data.patches.note)
    first = config.networks.seeds[0]
    with atomic_outputs(config.out) as folder:
        _draw(config, variables[first], summary, folder)
        write_json(folder / SUMMARY, summary)
    return summary


def networks(config: Run, console: Console) -> Iterator[tuple[int, Any]]:
    """Train the networks, or read those that are trained.

    Args:
        config: what can be set.
        console: where to show progress.

    Yields:
        The seed of each network, and its variables.

    Raises:
        OtherExperimentError: if `config.out` holds something else; nothing is overwritten.
        FileNotFoundError, ValueError: if the data are not there or do not fit.
    """
    settings = {name: value for name, value in asdict(config).items() if name not in FREE}
    claim(config.out, "segmentation", json.loads(json.dumps(settings, default=str)))
    for seed in config.networks.seeds:
        yield seed, train(config, seed, _folder(config, seed), console)


def _folder(config: Run, seed: int) -> Path:
    return config.out / f"network_{seed}"


def _measured(config: Run, variables: Any, folder: Path, console: Console) -> dict[str, Any]:
    path = folder / MEASURED
    if not path.is_file():
        with bar(console) as progress:
            task = progress.add_task(f"Explaining, {folder.name}", total=None)
            found = measure(config, variables, lambda: progress.advance(task))
        write_json(path, found)
    return json.loads(path.read_text("utf-8"))


def _draw(config: Run, variables: Any, summary: dict[str, Any], folder: Path) -> None:
    data = summary["data"]
    first = config.networks.seeds[0]
    names = config.open("test", cloud_fraction=0).config.class_names
    title = f"Cloud mask beside the share of radar ({data}; network of seed {first}, biases shared)"
    maps(_worth_seeing(config, variables), names, title).savefig(folder / "maps.png", dpi=130)
    title = (
        f"{summary['networks']} networks, {summary['patches']} patches with a cloudy twin "
        f"({data}); bars: two standard errors over the networks"
    )
    over_distance(summary, title).savefig(folder / "over_distance.png", dpi=130)


def _worth_seeing(config: Run, variables: Any) -> list[Shown]:
    """The ones among the first patches of which most nearly a half is under clouds."""
    looked = list(islice(pairs(config), -(-LOOKED_AT // config.networks.batch_size)))
    order = sorted(
        (abs(float(mask.mean()) - 0.5), number, at)
        for number, batch in enumerate(looked)
        for at, mask in enumerate(batch.mask[: batch.real])
    )
    explain = explainer(config.classes, config.networks.width)
    chosen = [(looked[number], at) for _, number, at in order[: config.rows]]
    return [_shown(explain, variables, batch, at) for batch, at in chosen]


def _shown(explain: Callable[..., Any], variables: Any, batch: Paired, at: int) -> Shown:
    found = {c: jax.device_get(explain(variables, *x)) for c, x in batch.images.items()}
    return Shown(
        images={c: tuple(image[at] for image in x) for c, x in batch.images.items()},
        mask=batch.mask[at],
        land_cover=batch.land_cover[at],
        prediction={c: each.prediction[at] for c, each in found.items()},
        share={c: each.share["share"][at] for c, each in found.items()},
    )

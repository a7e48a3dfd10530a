"""Train or read the networks, try every method on their maps, print, draw."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from experiments import results
from experiments.command import atomic_outputs, bar, exit_on_error
from experiments.compare.maps.measure import Bench, summarize
from experiments.compare.maps.methods import Method, methods
from experiments.compare.maps.show import WIDTH, Strip, figure, maps, table
from experiments.segmentation import pipeline
from experiments.segmentation.explaining import Paired, pairs, radar_share
from experiments.segmentation.settings import CONDITIONS, SOURCES, Demo, Run

NAME = "compare_maps"


@dataclass(frozen=True)
class Config:
    """Settings of the command.

    Attributes:
        segmentation: The networks: those of `python -m experiments.segmentation demo`, which are
            trained unless they are there.
        patches: So many test patches with a cloudy twin are explained.
        out: Folder for the results.
    """

    segmentation: Demo = field(default_factory=Demo)
    patches: int = 24
    out: Path = Path("results/compare_maps")

    def __post_init__(self) -> None:
        if self.patches < 2:
            raise ValueError(
                f"patches must be at least 2, as they replace each other, got {self.patches}"
            )


def main(config: Config) -> dict[str, Any]:
    """Compare the methods on maps, print two tables, draw two figures.

    Args:
        config: what can be set.

    Returns:
        What `compare_maps.json` holds.
    """
    console = Console(highlight=False)
    with exit_on_error():
        settings = {**asdict(config), "out": None}
        results.claim(config.out, NAME, json.loads(json.dumps(settings, default=str)))
        pipeline.make_archive(config.segmentation, console)
        run = config.segmentation.run
        trained = dict(pipeline.networks(run, console))
        batches = list(_first(pairs(run), config.patches))
    tried = methods(run.model.apply, SOURCES, jax.random.key(run.networks.seed))
    bench = Bench(run.model.apply, tried, len(SOURCES))
    total = len(trained) * len(batches) * len(CONDITIONS)
    measured = []
    with bar(console) as progress:
        task = progress.add_task("Trying every method", total=total)
        for variables in trained.values():
            measured.append(bench.measure(variables, batches, lambda: progress.advance(task)))
    found = {
        "data": run.open("test", cloud_fraction=1).patches.note or "SEN12MS",
        "networks": len(measured),
        "patches": sum(batch.real for batch in batches),
        "methods": summarize(measured),
    }
    title = (
        f"{found['networks']} networks, {found['patches']} patches ({found['data']}); "
        "bars: two standard errors over the networks"
    )
    with atomic_outputs(config.out) as folder:
        results.write_json(folder / f"{NAME}.json", found)
        figure(found["methods"], title).savefig(folder / f"{NAME}.png", dpi=120)
        strip = _strip(run, trained[run.networks.seed], batches, tried)
        said = f"The share of radar by every method, one patch ({found['data']})"
        maps(strip, "radar", said).savefig(folder / "shares.png", dpi=120)
        names = sorted(path.name for path in folder.iterdir())
    show(found, console)
    for name in names:
        console.print(config.out / name, soft_wrap=True)
    return found


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print the tables.

    Args:
        found: what `compare_maps.json` holds.
        console: where to.
    """
    wide = Console(highlight=False, width=max(console.width, WIDTH), file=console.file)
    wide.print(f"{found['patches']} patches: {found['data']}")
    for condition, each in found["methods"].items():
        wide.print(table(each, condition, found["networks"]))


def _first(batches: Iterable[Paired], patches: int) -> Iterator[Paired]:
    """The first patches, in batches of one size; the rest of the last one fills it up."""
    left = patches
    for batch in batches:
        if left > 0:
            yield batch._replace(real=min(batch.real, left))
            left -= batch.real


def _strip(run: Run, variables: Any, batches: Sequence[Paired], tried: Sequence[Method]) -> Strip:
    """The patch of which most nearly a half is under clouds, explained by every method."""
    covers = {
        (number, at): abs(float(batch.mask[at].mean()) - 0.5)
        for number, batch in enumerate(batches)
        for at in range(batch.real)
    }
    number, at = min(covers, key=lambda place: covers[place])
    images = batches[number].images["cloudy"]
    logits: Any = run.model.apply(variables, *images)
    shares = {}
    for method in tried:
        if not method.control:
            optical, radar = method.explain(variables, *images)
            shares[method.name] = np.asarray(radar_share((optical, radar), logits.argmax(-1)))[at]
    return Strip(images[0][at], batches[number].mask[at], shares)

"""Every method on the same trained network and the same batch.

Relevance of each source, agreement with relevance forward propagation, cost, deletion of sources in
the order of each method, and whether its numbers change when the weights are randomized. With
`--maps` the methods are compared on the maps of networks for land cover instead; `--maps --help`
lists its settings.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from experiments.command import (
    atomic_outputs,
    exit_on_error,
    exit_on_interrupt,
    keep_programs,
    lazy_imports,
)

with lazy_imports():
    import jax
    import tyro
    from rich.console import Console

    from experiments import results
    from experiments.compare.measure import Case, compare
    from experiments.compare.show import WIDTH, figure, table
    from experiments.mnist.settings import CLASSES, Settings


MAPS = "--maps"
ABOUT_MAPS = """Every method on the maps of networks for land cover, clear and under clouds.

Does the class of a pixel change more often if the source is replaced that dominates it? If one
source is replaced, does a method say the same of the others?
"""


def run(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run one of the two comparisons.

    Args:
        arguments: of the command line; None takes this process's.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if MAPS not in given:
        tyro.cli(main, prog="python -m experiments.compare", description=__doc__, args=given)
        return
    from experiments.compare.maps import command

    given.remove(MAPS)
    prog = f"python -m experiments.compare {MAPS}"
    with exit_on_error():
        config = tyro.cli(command.Config, prog=prog, description=ABOUT_MAPS, args=given)
    command.main(config)


def main(
    settings: Annotated[Settings, tyro.conf.arg(name="")],
    samples: int = 256,
    out: Path = Path("results/compare"),
) -> None:
    """Train a network unless it is there, try every method on it, print a table, draw a figure.

    Args:
        settings: What is trained, as for `python -m experiments.mnist train`.
        samples: So many test samples are in the batch.
        out: Folder for the results; the network is in its sub-folder `network`.
    """
    console = Console(highlight=False)
    with exit_on_error():
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        given = {"samples_in_batch": samples, **asdict(settings), "folder": str(settings.folder)}
        results.claim(out, "compare", given)
        case = load(settings, out / "network", samples, console)
    rows = []
    with console.status("") as status:
        for row in compare(case, jax.random.key(settings.samples.seed)):
            status.update(f"{row.method} is measured")
            rows.append(row)
    with atomic_outputs(out) as folder:
        title = f"{len(case.labels)} test samples, a network trained with {settings.words}"
        figure(rows, settings.sources, title).savefig(folder / "compare.png", dpi=120)
        results.write_json(folder / "compare.json", [asdict(row) for row in rows])
    wide = Console(highlight=False, width=max(console.width, WIDTH))
    wide.print(table(rows, settings.sources))
    for name in ("compare.json", "compare.png"):
        console.print(out / name, soft_wrap=True)


def load(settings: Settings, folder: Path, samples: int, console: Console) -> Case:
    """Train the network or read it, and take the batch.

    Args:
        settings: what is trained.
        folder: where it is, or will be.
        samples: how many test samples to take.
        console: where to show how far the training is.

    Returns:
        The case for `experiments.compare.measure.compare`.
    """
    from experiments.mnist.train import train

    variables = train(settings, folder, console)
    test = settings.load("test").arrays()
    images = tuple(image[:samples] for image in test["images"])
    network = settings.network
    key = jax.random.key(settings.samples.seed + 1)
    random_variables = network.init(key, *(image[:1] for image in images))
    return Case(
        fun=network.apply,
        variables=variables,
        random_variables=random_variables,
        # `init` lists the layers in the order in which they are called
        layers=[f"params/{name}" for name in reversed(random_variables["params"])],
        images=images,
        labels=test["label"][:samples],
        sources=settings.sources,
        classes=len(CLASSES),
    )


if __name__ == "__main__":
    with exit_on_interrupt():
        keep_programs()
        run()

"""The choice of a rule: every preset and composite on trained networks, with the same tests.

Replacement and deletion of sources, randomization of parameters, and operations counted by XLA.
What was measured is kept: a run that was cut off goes on with the next rule.
"""

import json
from dataclasses import asdict, dataclass, field
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
    import tyro
    from rich.console import Console

    from experiments import results
    from experiments.rules.measure import NAMES, Row, measure
    from experiments.rules.networks import NETWORKS, Mnist
    from experiments.rules.show import WIDTH, figure, table


@dataclass(frozen=True)
class Config:
    """Settings of the command line.

    Attributes:
        networks: Which networks: digits, transformer, fusion, mnist.
        samples: So many test samples of each.
        mnist: Where MNIST lies; for the network of this name alone.
        out: Folder for the results; the networks are in its sub-folder `networks`.
    """

    networks: tuple[str, ...] = ("digits", "transformer", "fusion")
    samples: int = 256
    mnist: Annotated[Mnist, tyro.conf.arg(name="mnist")] = field(default_factory=Mnist)
    out: Path = Path("results/rules")

    def __post_init__(self) -> None:
        if other := [name for name in self.networks if name not in NETWORKS]:
            raise ValueError(f"unknown network {other[0]!r}: choose from {', '.join(NETWORKS)}")
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, got {self.samples}")


def main(config: Config) -> None:
    """Train the networks unless they are there, measure every rule, print tables, draw a figure.

    Args:
        config: what can be set.
    """
    console = Console(highlight=False)
    results.claim(
        config.out, "rules", {"samples": config.samples, "folder": str(config.mnist.folder)}
    )
    wide = Console(highlight=False, width=max(console.width, WIDTH))
    found = {name: _rows(name, config, console) for name in config.networks}
    for name, rows in found.items():
        wide.print(table(rows, name))
    with atomic_outputs(config.out) as folder:
        figure(found).savefig(folder / "rules.png", dpi=120)
    console.print(config.out / "rules.png", soft_wrap=True)


def _rows(name: str, config: Config, console: Console) -> list[Row]:
    """Measure a network, or read what an earlier call measured; rows are kept one by one."""
    path = config.out / f"{name}.json"
    rows = [Row(**row) for row in json.loads(path.read_text())] if path.is_file() else []
    done = {row.rule for row in rows}
    if done >= set(NAMES):
        console.print(f"{path}: measured already")
        return rows
    case = NETWORKS[name](config.out / "networks" / name, config.samples, config.mnist, console)
    for row in measure(case, done):
        console.print(f"{name}: {row.rule} is measured")
        rows.append(row)
        results.write_json(path, [asdict(row) for row in rows])
    return rows


if __name__ == "__main__":
    with exit_on_interrupt(), exit_on_error():
        keep_programs()
        main(tyro.cli(Config, prog="python -m experiments.rules", description=__doc__))

"""Clear against cloudy: how much of a land-cover network's output comes from which sensor.

`demo` tries everything on a small synthetic archive. With the real archive: `train`, or convert a
published network with `python -m convert`; then `evaluate`, then `plot`. See docs/sen12ms.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.command import exit_on_error, exit_on_interrupt, keep_programs, lazy_imports

with lazy_imports():
    import tyro
    from rich.console import Console
    from rich.table import Table

    from experiments.sen12ms.settings import Demo, Evaluate, Plot, Train

Command = Train | Evaluate | Plot | Demo


def main(command: Command) -> None:
    """Run a command.

    Args:
        command: its settings.
    """
    console = Console(highlight=False)
    with exit_on_error():
        match command:  # imported here: --help shall be quick
            case Train():
                from experiments.sen12ms.training import train

                console.print(train(command, console), soft_wrap=True)
            case Evaluate():
                from experiments.sen12ms.evaluation import SUMMARY, evaluate

                show(evaluate(command, console), console)
                console.print(command.out / SUMMARY, soft_wrap=True)
            case Plot():
                from experiments.sen12ms.plotting import draw

                for path in draw(command):
                    console.print(path, soft_wrap=True)
            case Demo():
                from experiments.sen12ms.demo import demo

                for name, summary in demo(command, console).items():
                    console.print(f"\n[bold]{name}[/bold]")
                    show(summary, console)
                console.print(f"\nEverything is in {command.out}", soft_wrap=True)


def show(summary: Mapping[str, Any], console: Console) -> None:
    """Print the numbers of an evaluation, a column for each condition.

    Args:
        summary: of `evaluate`.
        console: where to.
    """
    first = next(iter(summary.values()))
    table = Table(title=f"Relevance on {first['data']}")
    table.add_column("")
    for condition in summary:
        table.add_column(condition, justify="right")

    def row(name: str, *path: str, form: str = ".4f") -> None:
        cells = []
        for found in summary.values():
            value: Any = found
            for key in path:
                value = value[key]
            cells.append(format(value, form))
        table.add_row(name, *cells)

    row("patches", "samples", form="d")
    row("of them cloudy", "cloudy", form="d")
    row("failed", "failures", form="d")
    row("accuracy", "plain", "accuracy")
    row("loss", "plain", "loss")
    row("accuracy of the sum of relevances", "sum_of_relevances", "accuracy")
    row("loss of the sum of relevances", "sum_of_relevances", "loss")
    row("sum of relevances - output, largest", "deviation", "largest", form=".1e")
    row("sum of relevances - output, mean", "deviation", "mean", form=".1e")
    for source in first["share"]:
        row(f"mean share of {source}", "share", source, form=".3f")
    for method in ("perceptual", "shape") if "scores" in first else ():
        for source in first["scores"][method]:
            row(f"{method} score of {source}", "scores", method, source, form=".3f")
    console.print(table)
    last = list(summary.values())[-1]
    if last["share_by_cloud_cover"]:
        title = "Mean share of the true class's relevance, and its standard error, by cloud cover"
        covers = Table(title=title)
        for head in ("cloud cover", "patches", *last["share"]):
            covers.add_column(head, justify="right")
        for bin_ in last["share_by_cloud_cover"]:
            pairs = zip(bin_["share"].values(), bin_["standard_error"].values(), strict=True)
            shares = (" ± ".join("-" if v is None else f"{v:.3f}" for v in pair) for pair in pairs)
            covers.add_row(f"{bin_['from']:g} to {bin_['to']:g}", str(bin_["samples"]), *shares)
        console.print(covers)


def cli(args: Sequence[str] | None = None) -> None:
    """Read the command line, or these arguments, and run the command."""
    commands: Any = {
        "train": Train,
        "evaluate": Evaluate,
        "plot": Plot,
        "demo": Demo,
    }
    main(
        tyro.extras.subcommand_cli_from_dict(
            commands, prog="python -m experiments.sen12ms", description=__doc__, args=args
        )
    )


if __name__ == "__main__":
    with exit_on_interrupt():
        keep_programs()
        cli()

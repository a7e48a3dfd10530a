"""Does radar take over under clouds? Land cover of every pixel from optical and radar.

`demo` tries everything on a small synthetic archive; `run` does the same on SEN12MS. Several U-Nets
are trained; every pixel's output is divided among both sensors, under clouds and beside them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.command import exit_on_error, exit_on_interrupt, keep_programs, lazy_imports

with lazy_imports():
    import tyro
    from rich.console import Console
    from rich.table import Table

    from experiments.segmentation.settings import Demo, Run


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run the command.

    Args:
        arguments: of the command line; None takes this process's.
    """
    commands: Any = {"demo": Demo, "run": Run}
    with exit_on_error():
        command: Demo | Run = tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="python -m experiments.segmentation",
            description=__doc__,
            args=arguments,
        )
        from experiments.segmentation.pipeline import demo, run  # imported here: --help is quick

        console = Console(highlight=False)
        summary = demo(command, console) if isinstance(command, Demo) else run(command, console)
        show(summary, console)
        console.print(f"\nEverything is in {command.out}", soft_wrap=True)


def show(summary: Mapping[str, Any], console: Console) -> None:
    """Print the numbers of all networks.

    Args:
        summary: of `summary.summarize`.
        console: where to.
    """
    title = (
        f"{summary['networks']} networks, {summary['patches']} patches: {summary['data']}\n"
        "mean over the networks ± standard error"
    )
    table = Table(title=title)
    table.add_column("")
    for place, pixels in summary["pixels"].items():
        table.add_column(f"{place}\n{pixels} pixels", justify="right")

    def row(name: str, found: Mapping[str, Any]) -> None:
        cells = (
            "–" if each["mean"] is None else f"{each['mean']:.3f} ± {each['standard_error']:.3f}"
            for each in found.values()
        )
        table.add_row(name, *cells)

    for bias, words in (("share", "biases shared"), ("propagate", "biases on their own")):
        for condition, found in summary["share_of_radar"][bias].items():
            what = "cloudy - clear" if condition == "effect" else condition
            row(f"share of radar, {words}, {what}", found)
        table.add_section()
    for condition, found in summary["accuracy"].items():
        row(f"accuracy, {condition}", found)
        for source, lost in summary["uses"][condition].items():
            row(f"  lost with {source} of another place", lost)
    console.print(table)
    console.print(f"outputs minus their parts, largest: {summary['largest_deviation']:.1e}")


if __name__ == "__main__":
    with exit_on_interrupt():
        keep_programs()
        main()

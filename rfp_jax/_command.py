"""The command `rfp-jax`: one sub-command per line of the table."""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rfp_jax._util.commands import run
from rfp_jax._util.extras import needs_extra


class Command(NamedTuple):
    """A sub-command.

    Attributes:
        module: where its `main(arguments, prog)` is; imported when the sub-command is called.
        about: one line for the list of sub-commands.
    """

    module: str
    about: str


COMMANDS = {
    "convert": Command(
        "rfp_jax.convert._command", "Convert a PyTorch network to a folder that JAX uses."
    ),
    "map": Command(
        "rfp_jax.maps._command", "Show what each source contributed at every pixel of a scene."
    ),
    "report": Command("rfp_jax.tables._report.command", "Show a relevance table as one HTML file."),
    "sen12ms": Command(
        "rfp_jax.datasets.sen12ms._command", "Check, pack or synthesize an archive of SEN12MS."
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `rfp-jax`.

    Args:
        arguments: of the command line; None takes this process's.

    Returns:
        The exit status: 0, or 1 after an error that was printed.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in COMMANDS:
        name, *rest = given
        return run(COMMANDS[name].module, rest, prog=f"rfp-jax {name}")
    return run(__name__, given, prog="rfp-jax", function="show_commands")


def show_commands(arguments: Sequence[str], prog: str) -> int:
    """Print the version, the list of sub-commands, or what is wrong with the arguments."""
    if list(arguments) == ["--version"]:
        from rfp_jax import __version__

        print(__version__)
        return 0
    with needs_extra("The command rfp-jax", "tables"):
        import tyro
    tyro.extras.subcommand_cli_from_dict(
        {name: _described(command.about) for name, command in COMMANDS.items()},
        args=arguments,
        prog=prog,
        description="Relevance propagation for JAX: what users run rather than program.",
    )
    return 0


def _described(about: str) -> Callable[[], None]:
    def command() -> None: ...

    command.__doc__ = about
    return command

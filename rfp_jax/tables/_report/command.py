"""The command `report TABLE OUT`: a relevance table as one HTML file."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rfp_jax._util.extras import needs_extra
from rfp_jax.tables import _stored
from rfp_jax.tables._evaluate.errors import DamagedTableError, TableFormatError
from rfp_jax.tables._report.page import report

with needs_extra("Writing a report", "tables"):
    import tyro


@dataclass(frozen=True)
class Arguments:
    """Show a relevance table as one HTML file: numbers, figures, a gallery of samples.

    Attributes:
        table: the table, as rfp_jax.tables.evaluate has written it.
        out: the HTML file to write; it is replaced.
        title: title of the page.
        note: a sentence to show at the top, such as that the data are synthetic.
        bins: numeric metadata to draw the share of each source against.
        samples: at most so many samples are in the gallery, drawn at random.
        seed: seed of that draw.
        incomplete: take a table whose run has not finished.
    """

    table: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="TABLE")]
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    title: str = "Relevance"
    note: str = ""
    bins: tuple[str, ...] = ()
    samples: int = 200
    seed: int = 0
    incomplete: bool = False


def main(arguments: Sequence[str] | None = None, prog: str = "rfp-jax report") -> int:
    """Run the command.

    Args:
        arguments: of the command line; None takes this process's.
        prog: what help calls the command.

    Returns:
        The exit status: 0, or 1 after an error that was printed.
    """
    given = tyro.cli(Arguments, prog=prog, args=arguments)
    try:
        report(
            _stored.open(given.table, incomplete=given.incomplete),
            given.out,
            title=given.title,
            note=given.note,
            bins=given.bins,
            samples=given.samples,
            seed=given.seed,
        )
    except (
        DamagedTableError,
        _stored.IncompleteTableError,
        OSError,
        TableFormatError,
        ValueError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: nothing was written", file=sys.stderr)
        return 130
    print(given.out)
    return 0

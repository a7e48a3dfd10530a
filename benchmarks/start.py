"""Time what an import takes: `python -m benchmarks.start`.

Processes of their own import JAX and then this package, with everything on the disk in the system's
caches. The table has seconds of the processor, which other work on the machine hardly lengthens:
medians and quartiles.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import tyro
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

PROGRAM = """
import json, time

start = time.process_time()
import jax
middle = time.process_time()
import rfp_jax
print(json.dumps([middle - start, time.process_time() - middle]))
"""
"""The second time has what the package asks JAX for and `import jax` alone does not load."""


def imports(rounds: int) -> np.ndarray:
    """Seconds that the imports take.

    Args:
        rounds: processes to start; one more is started before them and not counted.

    Returns:
        Seconds, [rounds, 2]: those of JAX, and those of this package after it.
    """
    command = [sys.executable, "-c", PROGRAM]
    found = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(1 + rounds)
    ]
    return np.array(found[1:])


def main(rounds: int = 21) -> None:
    """Print a table, which is Markdown.

    Args:
        rounds: Processes to start.
    """
    table = Table(box=MARKDOWN)
    table.add_column("", no_wrap=True)
    for column in ("seconds", "quartiles"):
        table.add_column(column, justify="right", no_wrap=True)
    names = ("import jax", "import rfp_jax, after it")
    for name, times in zip(names, imports(rounds).T, strict=True):
        low, middle, high = np.percentile(times, [25, 50, 75])
        table.add_row(name, f"{middle:.3f}", f"{low:.3f} to {high:.3f}")
    Console(width=80, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))

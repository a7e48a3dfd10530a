"""Start a command of the package: import what it needs, run it, return its exit status.

What a command compiles is kept for the next one.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from rfp_jax._util.extras import MissingExtraError
from rfp_jax._util.programs import keep_programs


def run(module: str, arguments: Sequence[str], prog: str, function: str = "main") -> int:
    """Run the command in a module. A missing extra is one line, not a traceback.

    Args:
        module: name of the module.
        arguments: of the command line.
        prog: what help calls the command.
        function: the command in the module, called with `arguments` and `prog`.

    Returns:
        The exit status.
    """
    keep_programs()
    try:
        return getattr(import_module(module), function)(arguments, prog)
    except MissingExtraError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1

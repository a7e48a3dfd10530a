"""`python -m convert CHECKPOINT.pth OUT_DIR [--arch ARCH]`: a PyTorch checkpoint to a Flax one."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from convert.architectures import Name
from convert.errors import ConversionError, convert_extra
from convert.files import convert_file

with convert_extra():
    import tyro


@dataclass(frozen=True)
class Arguments:
    """Convert a PyTorch checkpoint to a folder with Flax variables (Orbax) and a manifest.json.

    PyTorch and Flax then compute the same random batch. The folder appears only if they agree.

    Attributes:
        checkpoint: PyTorch file: a state dict, or a dict with one under model_state_dict.
        out_dir: folder to write; it must not exist.
        arch: architecture of the checkpoint; recognised from its keys if not given.
    """

    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CHECKPOINT.pth")]
    out_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT_DIR")]
    arch: Name | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: of the command line; None takes this process's.

    Returns:
        The exit status: 0, or 1 after an error that was printed.
    """
    given = tyro.cli(Arguments, prog="python -m convert", args=arguments)
    # Like Ctrl-C, a request to stop must unwind the stack, so that nothing half written remains.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        manifest = convert_file(given.checkpoint, given.out_dir, given.arch)
    except (ConversionError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
    inputs = " + ".join(map(str, manifest.channels))
    print(f"architecture        {manifest.architecture}")
    print(f"inputs, classes     {inputs}, {manifest.classes}")
    print(
        f"largest difference  {manifest.largest_difference:.3g} of the outputs of PyTorch and Flax "
        f"on a random batch ({manifest.relative_difference:.3g} relative)"
    )
    print(f"written             {given.out_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

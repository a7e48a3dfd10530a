"""`python -m convert NETWORK OUT_DIR`: a PyTorch checkpoint to Flax, or any exported program."""

import sys

from rfp_jax._util.commands import run

if __name__ == "__main__":
    sys.exit(run("rfp_jax.convert._command", sys.argv[1:], prog="python -m convert"))

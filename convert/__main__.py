"""`python -m convert NETWORK OUT_DIR`: a PyTorch checkpoint to Flax, or any exported program."""

import sys

from rfp_jax.convert._command import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m convert"))

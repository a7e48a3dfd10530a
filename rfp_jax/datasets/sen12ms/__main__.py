"""`python -m rfp_jax.datasets.sen12ms`: the same as `rfp-jax sen12ms`."""

import sys

from rfp_jax._util.commands import run

if __name__ == "__main__":
    sys.exit(run("rfp_jax.datasets.sen12ms._command", sys.argv[1:], prog="rfp-jax sen12ms"))

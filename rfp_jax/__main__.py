"""`python -m rfp_jax`: the same as the command `rfp-jax`."""

import sys

from rfp_jax._command import main

if __name__ == "__main__":
    sys.exit(main())

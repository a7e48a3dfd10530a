"""`python -m rfp_jax.maps`: the same as `rfp-jax map`."""

import sys

from rfp_jax.maps._command import main

if __name__ == "__main__":
    sys.exit(main())

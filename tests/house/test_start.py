"""`import rfp_jax` is quick: it brings few modules of its own, and of others only JAX's."""

import json
import subprocess
import sys

MOST = 70
"""Modules of the package that its import may bring; a heavy one belongs where it is used."""
PROGRAM = """
import json, sys
import jax

before = set(sys.modules)
import rfp_jax

print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_import_brings_few_modules():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    own = [name for name in found if name.partition(".")[0] == "rfp_jax"]
    others = {name.partition(".")[0] for name in found} - {"rfp_jax"}
    assert 30 < len(own) <= MOST
    assert others <= {"jax", "numpy"}, others

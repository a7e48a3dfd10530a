"""A type checker sees what a user's program does wrong, and nothing wrong in one that is right."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import jax
import jax.numpy as jnp
import rfp_jax


def network(params: dict[str, jax.Array], optical: jax.Array, sar: jax.Array) -> jax.Array:
    return optical @ params["w"] + sar


def with_aux(x: jax.Array) -> tuple[jax.Array, str]:
    return 2 * x, "twice"


x = jnp.ones((2, 2))
explain = rfp_jax.relevance(network, argnums=(1, 2), outputs="argmax", bias="share")
rel = explain({"w": x}, x, sar=x)
total = rel.bias + sum(rel.sources)
rel_of_twice, aux = rfp_jax.relevance(with_aux, has_aux=True)(x)
print(rel_of_twice.sources, aux, rfp_jax.audit(network, (1, 2))({"w": x}, x, x).passed)
print(rfp_jax.gate(network, (1, 2))({"w": x}, x, x).shape, rfp_jax.heatmap(jnp.tanh)(x))
print(jax.jit(rfp_jax.relevance(lambda a, b: a * b, (0, 1)))(x, x).bias)
explain({"w": x}, "optical", x)  # planted: no array
rfp_jax.relevance(network, argnum=1)  # planted: no such option
"""


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]  # one environment for all


def test_pyright_sees_two_planted_errors_and_no_other(tmp_path, environment):
    """The package is the installed wheel: nothing of the source tree is in reach."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"include": ["program.py"]}))
    python = environment.folder / "bin" / "python"
    command = ["pyright", "--outputjson", "--pythonpath", python, "-p", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = PROGRAM.splitlines()
    planted = [number for number, line in enumerate(lines) if "# planted" in line]
    assert {each["range"]["start"]["line"] for each in found} == set(planted), found

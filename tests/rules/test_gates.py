"""Gates are weights and clipped signals are signals, however they are written."""
# ruff: noqa: E501, PLC3002  (tables: one case a line)

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.nn import relu, sigmoid
from jax.scipy.stats import norm as normal

from tests.oracles.compiled import relevance
from tests.oracles.decomposition import agree, shares

pytestmark = pytest.mark.usefixtures("x64")

GATED = (0.5, 2.0)
S = float(sigmoid(0.5))


@pytest.mark.parametrize(
    "clip",
    [
        relu,
        jax.nn.relu6,
        lambda x: jnp.clip(x, -1, 1),
        lambda x: jnp.clip(x, -2, 2),
        lambda x: jnp.minimum(x, 3),
        jnp.tanh,
        jax.nn.hard_tanh,
        jax.nn.silu,
        lambda x: x,
    ],
)
def test_a_clipped_signal_stays_a_signal(clip):
    y = float(clip(0.5)) * 2
    agree(shares(lambda x, y: clip(x) * y, *GATED), [y / 2, y / 2, 0.0])


GATES = {
    "sigmoid": sigmoid,
    "logistic": lax.logistic,
    "hard sigmoid": jax.nn.hard_sigmoid,
    "relu6(x + 3) / 6": lambda g: jax.nn.relu6(g + 3) / 6,
    "clip(x / 6 + .5)": lambda g: jnp.clip(g / 6 + 0.5, 0, 1),
    "half of 1 + tanh": lambda g: 0.5 * (1 + jnp.tanh(g / 2)),
    "(1 + tanh) / 2": lambda g: (jnp.tanh(g / 2) + 1) / 2,
    "tanh / 2 + .5": lambda g: jnp.tanh(g / 2) / 2 + 0.5,
    "normal cdf": normal.cdf,
    "(1 + erf) / 2": lambda g: (1 + lax.erf(g)) / 2,
    "erfc / 2": lambda g: lax.erfc(g) / 2,
    "2**-d": lambda d: 2.0 ** (-d),
    "exp(-d)": lambda d: jnp.exp(-jnp.abs(d)),
    "exp2": lambda d: jnp.exp2(-d),
    "1 / (1 + exp)": lambda g: 1 / (1 + jnp.exp(-g)),
    "1 - sigmoid": lambda g: 1 - sigmoid(g),
    "squared": lambda g: sigmoid(g) ** 2,
    "of two": lambda g: sigmoid(g) * sigmoid(2 * g),
    "sin": lambda g: 0.5 + 0.5 * jnp.sin(g),
    "exp(-softplus)": lambda g: jnp.exp(-jax.nn.softplus(g)),
    "smoothstep": lambda g: (lambda t: t * t * (3 - 2 * t))(jnp.clip(g, 0, 1)),
    "cond": lambda g: lax.cond(True, sigmoid, jnp.tanh, g),
    "traced cond": lambda g: lax.cond(g < 100, sigmoid, jax.nn.hard_sigmoid, g),
    "switch": lambda g: lax.switch((g > 0).astype(int), [jax.nn.hard_sigmoid, sigmoid], g),
    "jit": jax.jit(sigmoid),
    "scan of one": lambda g: lax.scan(lambda c, x: (c, sigmoid(x)), 0.0, g[None])[1][0],
    "scan": lambda g: lax.scan(lambda c, x: (c, sigmoid(x)), 0.0, jnp.stack([g, g]))[1][1],
    "carried": lambda g: lax.scan(
        lambda c, _: (sigmoid(c + g), None), sigmoid(g), None, length=3
    )[0],
    "carried from 0": lambda g: lax.scan(lambda c, _: (sigmoid(g), None), 0.0, None, length=3)[0],
    "checkpoint": jax.checkpoint(sigmoid),
    "vmap": lambda g: jax.vmap(sigmoid)(g[None])[0],
    "where": lambda g: jnp.where(g > 0, sigmoid(g), 0.0),
    "stacked": lambda g: jnp.stack([sigmoid(g), sigmoid(-g)])[0],
}  # fmt: skip


@pytest.mark.parametrize("name", GATES)
def test_a_gate_is_a_weight_however_it_is_written(name):
    gate = GATES[name]
    x, y = (jnp.asarray(v) for v in GATED)
    agree(shares(lambda x, y: gate(x) * y, x, y), [0.0, float(gate(x)) * 2, 0.0])


def test_a_gate_in_a_while_loop():
    def looped(x, y):
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, sigmoid(x + s[1])), (0, sigmoid(x)))[1] * y  # fmt: skip

    rel = relevance(looped, (0, 1))(*GATED)
    agree([*rel.sources, rel.bias], [0.0, rel.output, 0.0])


@pytest.mark.parametrize(
    "swish",
    [
        lambda x: x * jax.nn.relu6(x + 3) / 6,
        lambda x: x * (jax.nn.relu6(x + 3) / 6),
        jax.nn.hard_swish,
        lambda x: x * jnp.clip(x / 6 + 0.5, 0, 1),
        jax.nn.silu,
        lambda x: x * sigmoid(x),
        lambda x: x * lax.cond(True, sigmoid, jnp.tanh, x),
        jax.nn.gelu,
        lambda x: jax.nn.gelu(x, approximate=False),
        lambda x: x * normal.cdf(x),
        jax.nn.mish,
    ],
)
def test_a_signal_times_its_own_gate_is_one_function(swish):
    agree(shares(swish, 0.5), [float(swish(0.5)), 0.0])

"""The preset `attnlrp` against LXT, the implementation of its authors: a small transformer."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax import heatmap

GOLDEN = Path(__file__).parents[1] / "golden" / "lxt_transformer.npz"
HEADS = 2


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def transformer(p, x):
    """Two pre-norm blocks: LayerNorm, GELU; RMSNorm, a causal mask, SwiGLU. Logits of the last."""

    def linear(x, name):
        y = x @ p[f"{name}.weight"].T
        return y + p[f"{name}.bias"][None] if f"{name}.bias" in p else y

    def norm(x, name):
        if f"{name}.bias" in p:
            x = x - x.mean(-1, keepdims=True)
            shift = p[f"{name}.bias"][None]
        else:
            shift = jnp.zeros((1, 1))
        scale = jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-5)
        return x * scale * p[f"{name}.weight"][None] + shift

    def attention(x, block):
        q, k, v = (linear(x, f"{block}.{n}").reshape(len(x), HEADS, -1) for n in "qkv")
        scores = jnp.einsum("thd,shd->hts", q, k) / np.sqrt(q.shape[-1])
        if block == 1:
            scores = jnp.where(jnp.tri(len(x), dtype=bool)[None], scores, -jnp.inf)
        mixed = jnp.einsum("hts,shd->thd", jax.nn.softmax(scores, -1), v)
        return linear(mixed.reshape(x.shape), f"{block}.o")

    def dense(x, block):
        up = linear(x, f"{block}.up")
        if block == 0:
            return linear(jax.nn.gelu(up, approximate=False), "0.down")
        return linear(jax.nn.silu(linear(x, "1.gate")) * up, "1.down")

    for block in (0, 1):
        x = x + attention(norm(x, f"{block}.norm1"), block)
        x = x + dense(norm(x, f"{block}.norm2"), block)
    return linear(x, "head")[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_attnlrp_has_the_numbers_of_lxt(golden):
    params = {n.removeprefix("param/"): v for n, v in golden.items() if n.startswith("param/")}
    net = jax.tree_util.Partial(transformer, params)
    np.testing.assert_allclose(net(golden["x"]), golden["output"], rtol=1e-12)
    expected = golden["heatmap"]  # [class, token, feature]
    explain = jax.jit(lambda w: heatmap(net, outputs=w, rules="attnlrp")(golden["x"]))
    for heat, weights in zip(expected, np.eye(len(expected)), strict=True):
        np.testing.assert_allclose(explain(weights), heat, atol=1e-10 * np.abs(heat).max())

"""Transformers of Flax Linen: conservation in every layer, both directions, attention by hand."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rfp_jax
from rfp_jax import rules

pytestmark = pytest.mark.slow

RULES = {
    "lrp0": "lrp0",
    "uniform": "uniform",
    "attnlrp": "attnlrp",
    "cp_lrp": "cp_lrp",
    "EpsilonPlus": rules.EpsilonPlus(),
}
DIM, HEADS, DEPTH, CLASSES = 16, 2, 2, 5


class Block(nn.Module):
    """Attention and a dense network, each added to what it reads (Vaswani et al., pre-norm)."""

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, h, mask=None):
        like = {"dtype": self.dtype, "param_dtype": self.dtype}
        attention = nn.MultiHeadDotProductAttention(HEADS, **like)
        h = h + attention(nn.LayerNorm(**like)(h), mask=mask)
        mlp = nn.gelu(nn.Dense(2 * DIM, **like)(nn.LayerNorm(**like)(h)))
        return h + nn.Dense(DIM, **like)(mlp)


class ViT(nn.Module):
    """Patches, a class token, positions, blocks; returns logits and what every block returned."""

    dtype: jnp.dtype = jnp.float64

    @nn.compact
    def __call__(self, *images):
        like = {"dtype": self.dtype, "param_dtype": self.dtype}
        normal = nn.initializers.normal(1.0)
        patches = [nn.Conv(DIM, (4, 4), (4, 4), **like)(image) for image in images]
        tokens = [p.reshape(len(p), -1, DIM) for p in patches]
        first = self.param("cls", normal, (1, 1, DIM), self.dtype)
        first = jnp.broadcast_to(first, (len(tokens[0]), 1, DIM))
        h = jnp.concatenate([first, *tokens], axis=1)
        h = h + self.param("position", normal, (1, *h.shape[1:]), self.dtype)
        layers = []
        for _ in range(DEPTH):
            h = Block(self.dtype)(h)
            layers.append(h)
        return nn.Dense(CLASSES, **like)(nn.LayerNorm(**like)(h[:, 0])), layers


class Causal(nn.Module):
    """A decoder of embedded tokens: each position sees those before it."""

    dtype: jnp.dtype = jnp.float64

    @nn.compact
    def __call__(self, embedded):
        like = {"dtype": self.dtype, "param_dtype": self.dtype}
        normal = nn.initializers.normal(1.0)
        h = embedded + self.param("position", normal, (1, *embedded.shape[1:]), self.dtype)
        mask = nn.make_causal_mask(jnp.zeros(embedded.shape[:2]))
        layers = []
        for _ in range(DEPTH):
            h = Block(self.dtype)(h, mask)
            layers.append(h)
        return nn.Dense(CLASSES, **like)(nn.LayerNorm(**like)(h)), layers


def _inputs(model, dtype=jnp.float64):
    rng = np.random.default_rng(0)
    shapes = {ViT: [(2, 8, 8, 3), (2, 8, 8, 1)], Causal: [(2, 6, DIM)]}[model]
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


@functools.cache
def _setup(model, dtype=jnp.float64):
    """Functions of the sources alone, and the sources; every bias and scale is random."""
    sources = _inputs(model, dtype)
    variables = jax.jit(model(dtype).init)(jax.random.key(1), *sources)
    rng = np.random.default_rng(2)
    noisy = jax.tree.map(lambda leaf: leaf + 0.2 * rng.normal(size=leaf.shape), variables)
    noisy = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), noisy)
    return functools.partial(model(dtype).apply, noisy), sources


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        (Causal, "attnlrp"),
        *(
            pytest.param(Causal, rule, marks=pytest.mark.long)
            for rule in ("lrp0", "uniform", "cp_lrp", "EpsilonPlus")
        ),
        *(
            pytest.param(ViT, rule, marks=pytest.mark.long)
            for rule in ("uniform", "attnlrp", "EpsilonPlus")
        ),
    ],
)
@pytest.mark.usefixtures("x64")
def test_every_layer_conserves_and_both_directions_agree(model, rule):
    """The audit's outputs are those of every block: its residual is the greatest of them all."""
    net, sources = _setup(model)
    argnums = tuple(range(len(sources)))
    report = rfp_jax.audit(net, argnums, rules=RULES[rule])(*sources)
    assert report.passed, report.verdict
    assert report.residual < 1e-12
    blocks = {part for path in report.bias_by_path for part in path.split("/") if "Block" in part}
    assert blocks == {f"Block_{i}" for i in range(DEPTH)}

    rng = np.random.default_rng(3)
    outputs = jax.eval_shape(net, *sources)
    weights = jax.tree.map(lambda y: rng.normal(size=y.shape), outputs)
    push = rfp_jax.relevance(net, argnums, rules=RULES[rule])
    pull = rfp_jax.heatmap(net, argnums, outputs=weights, rules=RULES[rule])
    rel, heats = jax.jit(lambda *x: (push(*x), pull(*x)))(*sources)
    for forward, heat in zip(rel.sources, heats, strict=True):
        pushed = jax.tree.map(lambda w, r: np.sum(w * r), weights, forward)
        total = sum(jax.tree.leaves(pushed))
        assert float(total) == pytest.approx(float(heat.sum()), rel=1e-10)


@pytest.mark.usefixtures("x64")
def test_a_later_token_has_no_relevance_for_an_earlier_position():
    net, (embedded,) = _setup(Causal)
    split = rfp_jax.sources.axis(1)
    for rule in ("lrp0", "attnlrp"):
        explain = jax.jit(rfp_jax.relevance(lambda x: net(x)[0], split=split, rules=rule))
        rel = explain(embedded).sources  # [source token, batch, position, class]
        size = np.abs(rel).sum((1, 3))
        np.testing.assert_array_equal(np.tril(size, -1), 0)
        assert (size[np.triu_indices(len(size))] > 0).all()


def _attention(seed=0, tokens=4, dim=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(tokens, dim))
    return x, *(rng.normal(size=(dim, dim)) for _ in range(3))


def _attend(x, wq, wk, wv):
    q, k, v = x @ wq, x @ wk, x @ wv
    return jax.nn.softmax(q @ k.T / np.sqrt(x.shape[1])) @ v


@pytest.mark.parametrize("rule", ["lrp0", "cp_lrp"])
@pytest.mark.usefixtures("x64")
def test_value_path_by_hand(rule):
    """Weights A constant: `R[t, i] = A[i, t] x_t W_v` (Ali et al. 2022); nothing is bias."""
    x, wq, wk, wv = _attention()
    scores = np.exp((x @ wq) @ (x @ wk).T / np.sqrt(3))
    weights = scores / scores.sum(1, keepdims=True)
    expected = np.einsum("it,td,de->tie", weights, x, wv)
    split = rfp_jax.sources.axis(0)
    rel = rfp_jax.relevance(_attend, split=split, rules=rule)(x, wq, wk, wv)
    np.testing.assert_allclose(rel.sources, expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(rel.bias, 0, atol=1e-13)


@pytest.mark.usefixtures("x64")
def test_softmax_by_hand():
    """AttnLRP, proposition 3.1: `R_i = x_i (R_i^out - s_i Σ_j R_j^out)` (Achtibat et al. 2024)."""
    x = np.random.default_rng(0).normal(size=5)
    s = np.exp(x) / np.exp(x).sum()
    above = np.random.default_rng(1).normal(size=5)  # R^out = s * above
    expected = x * (s * above - s * np.sum(s * above))
    heat = rfp_jax.heatmap(jax.nn.softmax, outputs=above, rules="attnlrp")(x)
    np.testing.assert_allclose(heat, expected, rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_attnlrp_attention_by_hand():
    """Backwards, message by message: proposition 3.3 for both products, 3.1 for the softmax."""
    x, wq, wk, wv = _attention()
    q, k, v = x @ wq, x @ wk, x @ wv
    s = q @ k.T / np.sqrt(3)
    a = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    o = a @ v
    out = np.random.default_rng(5).normal(size=o.shape)  # R^out = o * out
    r_a = a * (out @ v.T) / 2
    r_v = v * (a.T @ out) / 2
    r_s = s * (r_a - a * r_a.sum(1, keepdims=True))
    r_q = q * ((r_s / s) @ k) / np.sqrt(3) / 2
    r_k = k * ((r_s / s).T @ q) / np.sqrt(3) / 2
    expected = sum(x * ((r / y) @ w.T) for r, y, w in ((r_q, q, wq), (r_k, k, wk), (r_v, v, wv)))
    heat = rfp_jax.heatmap(_attend, outputs=out, rules="attnlrp")(x, wq, wk, wv)
    np.testing.assert_allclose(heat, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", ["lrp0", "attnlrp"])
def test_bfloat16_is_as_good_as_its_activations(rule):
    """Against float64 with the same weights: relevance errs by percents of the greatest, no more.

    The plain output itself errs by 0.8 %: what is lost is the activations' rounding.
    """
    with jax.enable_x64(True):
        net, (embedded,) = _setup(Causal)
        coarse = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (net.args[0], embedded))
        fine = jax.tree.map(lambda a: a.astype(jnp.float64), coarse)

        def explain(dtype, variables, x):
            split = rfp_jax.sources.axis(1)
            fun = lambda x: Causal(dtype).apply(variables, x)[0]  # noqa: E731
            return jax.jit(rfp_jax.relevance(fun, split=split, rules=rule))(x)

        got, exact = explain(jnp.bfloat16, *coarse), explain(jnp.float64, *fine)
        assert got.output.dtype == got.sources.dtype == jnp.bfloat16
        for mine, right in ((got.output, exact.output), (got.sources, exact.sources)):
            error = np.abs(np.asarray(mine, np.float64) - right).max() / np.abs(right).max()
            assert 1e-4 < error < 0.03

"""JAX's transformations of relevance and gate: jit, vmap, grad, dtypes, devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from rfp_jax import gate, relevance
from tests.transforms.two_sources import LEFT, PARAMS, RIGHT, W, X, Y, close, net

# --- jit, vmap, grad, dtypes


@pytest.mark.slow
def test_jit(x64):
    rel = relevance(net, (1, 2))
    close(jax.jit(rel)(PARAMS, LEFT, RIGHT), rel(PARAMS, LEFT, RIGHT))


@pytest.mark.slow
def test_vmap_over_the_batch_equals_the_batch(x64):
    one = relevance(lambda p, left, right: net(p, left[None], right[None])[0], (1, 2))
    each = jax.vmap(one, in_axes=(None, 0, 0))(PARAMS, LEFT, RIGHT)
    close(each, relevance(net, (1, 2))(PARAMS, LEFT, RIGHT))


def test_vmap_inside_equals_the_batch(x64):
    def batched(p, left, right):
        one = jax.vmap(lambda a, b: net(p, a[None], b[None])[0])
        return one(left, right)

    close(
        relevance(batched, (1, 2))(PARAMS, LEFT, RIGHT),
        relevance(net, (1, 2))(PARAMS, LEFT, RIGHT),
    )


@pytest.mark.slow
def test_vmap_over_parameters(x64):
    stacked = jax.tree.map(lambda p: np.stack([p, -p]), PARAMS)
    rel = relevance(net, (1, 2))
    both = jax.vmap(rel, in_axes=(0, None, None))(stacked, LEFT, RIGHT)
    close(jax.tree.map(lambda r: r[1], both), rel(jax.tree.map(np.negative, PARAMS), LEFT, RIGHT))


def loss(params, left, right):
    """A loss on relevance: the sources shall agree, and the bias stay small."""
    rel = relevance(net, (1, 2))(params, left, right)
    a, b = rel.sources
    return ((a - b) ** 2).mean() + (rel.bias**2).mean() + rel.output.mean()


def test_gradient_of_a_loss_on_relevance(x64):
    """With respect to parameters and inputs, against finite differences."""
    grads = jax.jit(jax.grad(loss, (0, 1)))(PARAMS, LEFT, RIGHT)
    value = jax.jit(loss)
    step = 1e-5
    rng = np.random.default_rng(1)
    for _ in range(3):
        towards = jax.tree.map(lambda p: rng.normal(size=p.shape), (PARAMS, LEFT))
        ends = [
            value(*jax.tree.map(lambda p, t, s=s: p + s * step * t, (PARAMS, LEFT), towards), RIGHT)
            for s in (1, -1)
        ]
        slope = sum(
            jnp.vdot(g, t) for g, t in zip(*map(jax.tree.leaves, (grads, towards)), strict=False)
        )
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize(
    "activation",
    [nn.relu, nn.gelu, nn.silu, nn.elu, nn.softplus, jnp.tanh, nn.sigmoid, nn.hard_swish, jnp.cbrt,
     jax.nn.mish, nn.leaky_relu, jnp.exp, lambda x: jnp.clip(x, -1, 1)],
)  # fmt: skip
def test_gradients_of_relevance_are_finite(activation, x64):
    """Also at 0, close to it and at saturation: no NaN comes from an untaken branch."""
    x = np.array([-80.0, -3.0, -1e-8, 1e-8, 2.0, 80.0])
    if activation is not jnp.cbrt:  # a root is vertical at 0
        x = np.append(x, 0.0)

    def total(x):
        rel = relevance(lambda a, b: activation(a + b), (0, 1))(x, x - x)
        return rel.sources[0].sum()

    assert np.isfinite(jax.grad(total)(x)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(dtype, x64):
    cast = functools.partial(jax.tree.map, lambda p: jnp.asarray(p, dtype))
    rel = jax.jit(relevance(net, (1, 2)))(*cast((PARAMS, LEFT, RIGHT)))
    assert {leaf.dtype for leaf in jax.tree.leaves(rel)} == {jnp.dtype(dtype)}
    exact = relevance(net, (1, 2))(PARAMS, LEFT, RIGHT)
    size = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(exact))
    close(
        jax.tree.map(np.float64, rel), exact, rtol=0, atol=30 * float(jnp.finfo(dtype).eps) * size
    )


def test_mixed_precision(x64):
    """bfloat16 inside, float32 outside: relevance comes in the output's dtype."""

    def mixed(x, w):
        return jnp.dot(x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)).astype(jnp.float32)

    x, w = jnp.ones((2, 3), jnp.float32), jnp.ones((3, 4), jnp.float32)
    rel = relevance(mixed)(x, w)
    assert rel.sources.dtype == jnp.float32
    close(rel.sources, np.full((2, 4), 3.0))


def test_output_is_the_plain_programs(x64):
    rel = relevance(net, (1, 2))(PARAMS, LEFT, RIGHT)
    np.testing.assert_array_equal(rel.output, net(PARAMS, LEFT, RIGHT))
    close(rel.output, rel.bias + sum(rel.sources))


# --- gate: one linear map, forward and back


@pytest.mark.slow
def test_jvp_and_vjp_of_gate_are_relevance(x64):
    rel = relevance(net, (1, 2))(PARAMS, LEFT, RIGHT)
    gated = functools.partial(gate(net, (1, 2)), PARAMS)
    zero = np.zeros_like(LEFT)
    output, left = jax.jvp(gated, (LEFT, RIGHT), (LEFT, zero))
    _, right = jax.jvp(gated, (LEFT, RIGHT), (zero, RIGHT))
    np.testing.assert_array_equal(output, net(PARAMS, LEFT, RIGHT))
    close((left, right), rel.sources)
    output, pull = jax.vjp(gated, LEFT, RIGHT)
    np.testing.assert_array_equal(output, net(PARAMS, LEFT, RIGHT))
    for k in range(4):  # the paper's theorem: output by output
        backs = pull(jnp.zeros_like(output).at[:, k].set(1.0))
        for x, back, forward in zip((LEFT, RIGHT), backs, rel.sources, strict=True):
            close((x * back).sum((1, 2, 3)), forward[:, k])


def test_gate_under_jit_and_vmap(x64):
    rel = relevance(net, (1, 2))(PARAMS, LEFT, RIGHT)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, 0))
    def one(left, right):
        gated = gate(lambda a, b: net(PARAMS, a[None], b[None])[0], (0, 1))
        return jax.jvp(gated, (left, right), (left, jnp.zeros_like(right)))[1]

    close(one(LEFT, RIGHT), rel.sources[0])


@pytest.mark.slow
def test_gate_has_the_true_derivative_elsewhere(x64):
    weights = np.linspace(-1, 1, 20).reshape(5, 4)
    true = jax.grad(lambda p: jnp.vdot(weights, net(p, LEFT, RIGHT)))(PARAMS)
    gated = jax.grad(lambda p: jnp.vdot(weights, gate(net, (1, 2))(p, LEFT, RIGHT)))(PARAMS)
    close(gated, true)


def test_gate_of_an_integer_output():
    fun = gate(lambda x: (jnp.argmax(x), 2 * x))
    x = jnp.array([1.0, 3.0])
    (place, output), (_, pushed) = jax.jvp(fun, (x,), (x,))
    assert place == 1
    close([output, pushed], [[2.0, 6.0]] * 2)


def dense(w, x, y):
    return nn.silu(x @ w) * nn.sigmoid(y @ w)


@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map(check_vma, x64):
    """On two devices: the batch is split, a mean is taken over both, the weights are everywhere."""
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))

    def local(w, x, y):
        out = dense(w, x, y)
        return out, lax.pmean(out.mean(0), "batch")

    split = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(P(), P("batch"), P("batch")),
        out_specs=(P("batch"), P()),
        check_vma=check_vma,
    )
    want = relevance(lambda *args: (dense(*args), dense(*args).mean(0)), (1, 2))(W, X[:2], Y[:2])
    close(jax.jit(relevance(split, (1, 2)))(W, X[:2], Y[:2]), want)


def test_relevance_inside_shard_map(x64):
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
    split = jax.shard_map(
        relevance(dense, (1, 2)),
        mesh=mesh,
        in_specs=(P(), P("batch"), P("batch")),
        out_specs=P("batch"),
    )
    close(jax.jit(split)(W, X[:2], Y[:2]), relevance(dense, (1, 2))(W, X[:2], Y[:2]))

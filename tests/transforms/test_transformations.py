"""relevance() and gate() under JAX's transformations, through control flow, and on trees."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from rfp_jax import Relevance, gate, relevance

RNG = np.random.default_rng(0)
PARAMS = {
    "conv": RNG.normal(size=(3, 3, 2, 3)),
    "dense": RNG.normal(size=(27, 4)),
    "bias": RNG.normal(size=4),
    "scale": RNG.normal(size=4),
}
LEFT, RIGHT = RNG.normal(size=(2, 5, 6, 6, 2))


def net(params, left, right):
    """A convolution shared by both sources, pooling, a smooth dense layer, a gate."""

    def branch(x):
        dims = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(x, params["conv"], (1, 1), "SAME", dimension_numbers=dims)
        return nn.max_pool(nn.relu(x), (2, 2), (2, 2)).reshape(x.shape[0], -1)

    x = (branch(left) + branch(right)) @ params["dense"] + params["bias"][None]
    return nn.gelu(x) * nn.sigmoid(x * params["scale"][None]) + x.mean(1, keepdims=True)


def close(got, want, rtol=1e-10, atol=1e-12):
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=rtol, atol=atol), got, want)


# --- jit, vmap, grad, dtypes


def test_jit(x64):
    rel = relevance(net, (1, 2))
    close(jax.jit(rel)(PARAMS, LEFT, RIGHT), rel(PARAMS, LEFT, RIGHT))


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


# --- control flow against the same thing unrolled

W = RNG.normal(size=(4, 4))
X, Y = RNG.normal(size=(2, 3, 4))


def cell(h, x):
    return jnp.tanh(h @ W + x) + nn.relu(h - 0.1)


def unrolled_scan(x, y):
    h, hs = y, []
    for t in range(3):
        h = cell(h, x[t][None])
        hs.append(h * 2.0)
    return h, jnp.stack(hs)


def scanned(x, y, **options):
    def step(h, xt):
        h = cell(h, xt[None])
        return h, h * 2.0

    return lax.scan(step, y, x, **options)


def constant_carry(x, y):
    """The carry starts as a constant, and each source reaches it at another step."""

    def step(carry, xt):
        total, late = carry
        return (total + xt, late + nn.relu(total)), late

    (total, late), lates = lax.scan(step, (jnp.zeros(4), jnp.ones(4)), x)
    return total, late, lates, y.sum()


def constant_carry_unrolled(x, y):
    total, late, lates = jnp.zeros(4), jnp.ones(4), []
    for t in range(3):
        lates.append(late)
        total, late = total + x[t], late + nn.relu(total)
    return total, late, jnp.stack(lates), y.sum()


@jax.custom_jvp
def smooth_jvp(x):
    return nn.silu(x) + 1.0


smooth_jvp.defjvp(lambda primals, tangents: (smooth_jvp(*primals), tangents[0] * 17.0))


@jax.custom_vjp
def smooth_vjp(x):
    return nn.silu(x) + 1.0


smooth_vjp.defvjp(lambda x: (smooth_vjp(x), None), lambda _, g: (g * 17.0,))


@jax.custom_batching.custom_vmap
def smooth_vmap(x):
    return nn.silu(x) + 1.0


@smooth_vmap.def_vmap
def _(axis_size, in_batched, x):
    return smooth_vmap(x), True


def smooth(x):
    return nn.silu(x) + 1.0


def branches(x, y):
    """Of three branches one uses x alone, one y alone, one neither."""
    return [lambda x, y: nn.gelu(x) + 1.0, lambda x, y: y * y, lambda x, y: jnp.ones_like(x)]


def while_with_two_reached(x, y):
    """X reaches `a` at the first step, `b` at the second only: the carry widens twice."""

    def body(state):
        i, a, b = state
        return i + 1, nn.relu(a + x), b + a

    return lax.while_loop(lambda s: s[0] < 3, body, (0, jnp.zeros_like(y), y))[1:]


def while_unrolled(x, y):
    a, b = jnp.zeros_like(y), y
    for _ in range(3):
        a, b = nn.relu(a + x), b + a
    return a, b


def combine(left, right):
    (a, b), (c, d) = left, right
    return a + c, jnp.maximum(b, d)


def associative(x, y):
    return lax.associative_scan(combine, (x, y))


def associative_unrolled(x, y):
    rows = [(x[0], y[0])]
    for t in range(1, len(x)):
        rows.append(combine(rows[-1], (x[t], y[t])))
    return tuple(map(jnp.stack, zip(*rows, strict=False)))


def unrolled_reverse_scan(x, y):
    h, hs = unrolled_scan(x[::-1], y)
    return h, hs[::-1]


CONTROL = {  # the program, the same without control flow
    "scan": (scanned, unrolled_scan),
    "scan, unroll": (lambda x, y: scanned(x, y, unroll=2), unrolled_scan),
    "scan, reverse": (
        lambda x, y: scanned(x, y, reverse=True),
        unrolled_reverse_scan,
    ),
    "scan, constant carry": (constant_carry, constant_carry_unrolled),
    "scan without inputs": (
        lambda x, y: lax.scan(lambda h, _: (cell(h, x), None), y, None, length=2)[0],
        lambda x, y: cell(cell(y, x), x),
    ),
    "scan of scans": (
        lambda x, y: lax.scan(
            lambda h, xt: lax.scan(lambda g, v: (cell(g, v), v.sum()), h, xt),
            y,
            jnp.stack([jnp.stack([x, y]), jnp.stack([y, x])]),
        ),
        lambda x, y: (
            cell(cell(cell(cell(y, x), y), y), x),
            jnp.stack([jnp.stack([x.sum(), y.sum()]), jnp.stack([y.sum(), x.sum()])]),
        ),
    ),
    "scan of nothing": (
        lambda x, y: lax.scan(lambda h, v: (cell(h, v), h), y, jnp.stack([x, x])[:0])[0],
        lambda x, y: y * 1.0,
    ),
    "fori_loop": (
        lambda x, y: lax.fori_loop(0, 3, lambda i, h: cell(h, x), y),
        lambda x, y: cell(cell(cell(y, x), x), x),
    ),
    "fori_loop, bounds not known": (
        lambda x, y: lax.fori_loop(0, (x > -99).sum() // 6, lambda i, h: cell(h, x), y),
        lambda x, y: cell(cell(y, x), x),
    ),
    "while_loop": (while_with_two_reached, while_unrolled),
    "map": (
        lambda x, y: lax.map(lambda v: nn.gelu(v[0]) * v[1], (x, y)),
        lambda x, y: nn.gelu(x) * y,
    ),
    "map, batches": (
        lambda x, y: lax.map(lambda v: nn.gelu(v[0]) * v[1], (x, y), batch_size=2),
        lambda x, y: nn.gelu(x) * y,
    ),
    "cond": (
        lambda x, y: lax.cond(x[0, 0] > y[0, 0], lambda: x * 2.0, lambda: nn.silu(y) + 1.0),
        lambda x, y: x * 2.0 if X[0, 0] > Y[0, 0] else nn.silu(y) + 1.0,
    ),
    "cond, other": (
        lambda x, y: lax.cond(x[0, 0] <= y[0, 0], lambda: x * 2.0, lambda: nn.silu(y) + 1.0),
        lambda x, y: nn.silu(y) + 1.0 if X[0, 0] > Y[0, 0] else x * 2.0,
    ),
    "cond of constants": (
        lambda x, y: lax.cond(x[0, 0] > -99, lambda: (1.0, x), lambda: (2.0, x)),
        lambda x, y: (jnp.ones(()), x * 1.0),
    ),
    **{
        f"switch {k}": (
            lambda x, y, k=k: lax.switch(k + 0 * jnp.argmax(x), branches(x, y), x, y),
            lambda x, y, k=k: branches(x, y)[k](x, y),
        )
        for k in range(3)
    },
    "switch under vmap": (
        lambda x, y: jax.vmap(lambda i, a, b: lax.switch(i, branches(a, b), a, b))(
            jnp.arange(3), x, y
        ),
        lambda x, y: jnp.stack([branches(x, y)[k](x[k], y[k]) for k in range(3)]),
    ),
    "platform_dependent": (
        lambda x, y: lax.platform_dependent(x, y, cpu=cell, default=lambda x, y: x),
        cell,
    ),
    "associative_scan": (associative, associative_unrolled),
    "remat": (jax.checkpoint(cell), cell),
    "remat, policy": (
        jax.checkpoint(cell, policy=jax.checkpoint_policies.dots_saveable),
        cell,
    ),
    "nn.remat": (
        lambda x, y: nn.remat(nn.Dense)(3).apply(
            {"params": {"kernel": W[:, :3], "bias": W[0, :3]}}, x + y
        ),
        lambda x, y: (x + y) @ W[:, :3] + W[:1, :3],
    ),
    "custom_jvp": (lambda x, y: smooth_jvp(x + y), lambda x, y: smooth(x + y)),
    "custom_vjp": (lambda x, y: smooth_vjp(x + y), lambda x, y: smooth(x + y)),
    "custom_vmap": (lambda x, y: smooth_vmap(x + y), lambda x, y: smooth(x + y)),
    "composite": (lax.composite(cell, "a.cell"), cell),
    "jit in jit": (jax.jit(lambda x, y: jax.jit(cell)(jax.jit(cell)(x, y), y)),
                   lambda x, y: cell(cell(x, y), y)),
    "jit, donated and static": (
        lambda x, y: jax.jit(lambda a, b, k: cell(a, b) * k, static_argnums=2)(x, y, 3),
        lambda x, y: cell(x, y) * 3,
    ),
    "named_scope": (jax.named_scope("here")(cell), cell),
    "cond in scan": (
        lambda x, y: lax.scan(
            lambda h, v: (lax.cond(v[0] < 1, lambda: cell(h, x), lambda: h * x), None), y,
            jnp.array([[0.0], [2.0]]),
        )[0],
        lambda x, y: cell(y, x) * x,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTROL)
def test_control_flow_equals_the_unrolled_program(case, x64):
    program, unrolled = CONTROL[case]
    want = relevance(unrolled, (0, 1))(X, Y)
    rel = relevance(program, (0, 1))
    close(rel(X, Y), want)
    close(jax.jit(rel)(X, Y), want)


def test_a_loop_whose_length_depends_on_the_data(x64):
    def until_large(x):
        return lax.while_loop(lambda v: jnp.abs(v).sum() < 100, lambda v: 2 * v + 1, x)

    rel = relevance(until_large)(np.array([3.0, -2.0]))
    factor = 32  # (3, -2) -> (7, -3) -> (15, -5) -> (31, -9) -> (63, -17) -> (127, -33)
    close(rel.output, [127.0, -33.0])
    close(rel.sources, [3.0 * factor, -2.0 * factor])
    close(rel.bias, [31.0, 31.0])


def test_recurrent_layer_of_flax(x64):
    """nn.RNN scans its cell; a source a time step, and unrolled by hand."""
    cell = nn.LSTMCell(5, param_dtype=jnp.float64)
    x = RNG.normal(size=(2, 3, 4))
    shapes = jax.eval_shape(nn.RNN(cell).init, jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape), shapes)

    def scanned(*steps):
        return nn.RNN(cell).apply(variables, jnp.stack(steps, 1))[:, -1]

    def unrolled(*steps):
        carry = (np.zeros((2, 5)), np.zeros((2, 5)))
        for step in steps:
            carry, y = cell.apply({"params": variables["params"]["cell"]}, carry, step)
        return y

    steps = [x[:, t] for t in range(3)]
    close(relevance(scanned, (0, 1, 2))(*steps), relevance(unrolled, (0, 1, 2))(*steps))


def test_gate_pulls_back_through_a_scan(x64):
    rel = relevance(lambda x, y: scanned(x, y)[0], (0, 1))(X, Y)
    _, pull = jax.vjp(gate(lambda x, y: scanned(x, y)[0], (0, 1)), X, Y)
    back = pull(jnp.ones_like(rel.output))
    close((X * back[0]).sum(), rel.sources[0].sum())
    close((Y * back[1]).sum(), rel.sources[1].sum())


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


# --- Structure: the conventions of jax.grad


def sums(a, b, c):
    return a + 2.0 * b + 3.0 * c


def test_argnums():
    one, two, three = jnp.float32(1.0), jnp.float32(10.0), jnp.float32(100.0)
    rel = relevance(sums)(one, two, three)
    assert isinstance(rel, Relevance)
    assert (float(rel.sources), float(rel.bias), float(rel.output)) == (1.0, 320.0, 321.0)
    assert float(relevance(sums, 2)(one, two, three).sources) == 300.0
    assert float(relevance(sums, -1)(one, two, three).sources) == 300.0
    rel = relevance(sums, (2, 0))(one, two, three)
    assert list(map(float, rel.sources)) == [300.0, 1.0]
    assert list(map(float, relevance(sums, (-1, 0))(one, two, three).sources)) == [300.0, 1.0]
    assert list(map(float, relevance(sums, [1])(one, two, three).sources)) == [20.0]
    assert isinstance(relevance(sums, (0,))(one, two, three).sources, tuple)
    assert float(relevance(sums, np.int64(1))(one, two, three).sources) == 20.0


def test_python_numbers_are_sources():
    rel = relevance(sums, (0, 1, 2))(1.0, 10.0, 100.0)
    assert list(map(float, rel.sources)) == [1.0, 20.0, 300.0]


def test_trees_of_sources_keep_their_structure():
    sources = {"optical": jnp.ones(3), "radar": (jnp.ones(3), {"vv": 2 * jnp.ones(3)})}

    def fun(scale, sources):
        vh, rest = sources["radar"]
        return scale * (sources["optical"] + 2 * vh) + rest["vv"]

    rel = relevance(fun, 1)(5.0, sources)
    assert jax.tree.structure(rel.sources) == jax.tree.structure(sources)
    close(rel.sources["optical"], np.full(3, 5.0))
    close(rel.sources["radar"][0], np.full(3, 10.0))
    close(rel.sources["radar"][1]["vv"], np.full(3, 2.0))
    rel = relevance(fun, (1,))(5.0, sources)
    assert jax.tree.structure(rel.sources) == jax.tree.structure((sources,))


def test_trees_of_outputs():
    def fun(x, y):
        return {"sum": x + y, "parts": [x * 2.0, jnp.argmax(y), (y.sum(), 7.0)]}

    x, y = jnp.array([1.0, 2.0]), jnp.array([5.0, 3.0])
    rel = relevance(fun, (0, 1))(x, y)
    plain = fun(x, y)
    for part in (rel.output, *rel.sources, rel.bias):
        assert jax.tree.structure(part) == jax.tree.structure(plain)
    close(rel.sources[0]["sum"], x)
    close(rel.sources[1]["parts"][2][0], 8.0)
    close(rel.sources[1]["parts"][2][1], 0.0)
    close(rel.bias["parts"][2][1], 7.0)
    close(rel.sources[1]["parts"][1], 0)  # a place carries no relevance
    close(jax.tree.map(lambda o, a, b, c: o - a - b - c, rel.output, *rel.sources, rel.bias),
          jax.tree.map(jnp.zeros_like, rel.output))  # fmt: skip


def test_has_aux():
    def fun(x):
        return 2 * x, {"hidden": x + 1, "count": 3}

    rel, aux = relevance(fun, has_aux=True)(jnp.array([1.0]))
    close(rel.sources, [2.0])
    close(aux["hidden"], [2.0])
    assert aux["count"] == 3
    rel, aux = jax.jit(relevance(fun, has_aux=True))(jnp.array([1.0]))
    close([rel.sources, aux["hidden"]], [[2.0], [2.0]])


def test_aux_that_is_no_array():
    """As in `jax.grad`: what is not explained may be anything."""
    rel, aux = relevance(lambda x: (2 * x, {"name": "model"}), has_aux=True)(jnp.array([1.0]))
    close(rel.sources, [2.0])
    assert aux == {"name": "model"}


def test_keyword_arguments_and_other_objects():
    rel = relevance(lambda x, mode, *, scale: x * scale if mode == "on" else x)(
        jnp.array([2.0]), "on", scale=3.0
    )
    close(rel.sources, [6.0])


def test_an_output_without_sources_is_all_bias():
    rel = relevance(lambda x: jnp.ones(3), 0)(jnp.ones(2))
    close([rel.sources, rel.bias], [np.zeros(3), np.ones(3)])


def test_a_source_that_is_the_output():
    rel = relevance(lambda x, y: (x, y), (0, 1))(jnp.ones(2), 2 * jnp.ones(2))
    close(rel.sources[0], (np.ones(2), np.zeros(2)))
    close(rel.sources[1], (np.zeros(2), 2 * np.ones(2)))


def test_an_empty_source():
    rel = relevance(lambda x, y: jnp.concatenate([x, y]), (0, 1))(jnp.ones((0,)), jnp.ones(2))
    close(rel.sources, (np.zeros(2), np.ones(2)))


def test_name_and_docstring_are_kept():
    assert relevance(net).__name__ == "net"
    assert gate(net).__doc__ == net.__doc__


def test_a_long_chain_of_elementwise_operations():
    """An unrolled recurrence of many steps is a chain, not a recursion."""

    def chain(x):
        h = x
        for _ in range(500):
            h = jnp.sin(h) + 0.5
        return x * h

    x = jnp.array([0.3, 0.7])
    rel = relevance(chain)(x)
    close(rel.sources + rel.bias, chain(x), rtol=1e-5)

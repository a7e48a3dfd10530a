"""Control flow against the same program unrolled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from rfp_jax import audit, gate
from tests.oracles.compiled import heatmap, relevance
from tests.transforms.two_sources import RNG, W, X, Y, close


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
    """Three branches: one uses x alone, one y alone, one neither."""
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


FUNCTIONS = {
    "a sum with a constant": lambda x: x + 1.0,
    "a multiple": lambda x: 2.0 * x,
    "a function of one variable": jnp.tanh,
    "a gate": lambda x: jax.nn.sigmoid(x) * x,
    "a ReLU": nn.relu,
    "a function behind a layer": lambda x: nn.silu(x @ W + 1.0),
}
BODIES = {  # of what was computed outside, the same without control flow
    "scan": (
        lambda c, y: lax.scan(lambda h, v: (h / 2 + c * v, h), y, jnp.array([1.0, 2.0]))[0],
        lambda c, y: (y / 2 + c) / 2 + 2 * c,
    ),
    "scan, its carry": (
        lambda c, y: lax.scan(lambda h, v: (h / 2 + y * v, h), c, jnp.array([1.0, 2.0]))[0],
        lambda c, y: (c / 2 + y) / 2 + 2 * y,
    ),
    "scan, constant carry": (
        lambda c, y: lax.scan(lambda h, v: (h / 2 + c, h), 0.0 * W[:3], W)[0] + y,
        lambda c, y: c * (1 + 1 / 2 + 1 / 4 + 1 / 8) + y,
    ),
    "map": (lambda c, y: lax.map(lambda v: v[0] + 2 * v[1], (c, y)), lambda c, y: c + 2 * y),
    "fori_loop": (
        lambda c, y: lax.fori_loop(0, 2, lambda i, h: h / 2 + c, y),
        lambda c, y: (y / 2 + c) / 2 + c,
    ),
    "cond": (
        lambda c, y: lax.cond(y[0, 0] > -99, lambda: c + y, lambda: c - y),
        lambda c, y: c + y,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_body_closes_over_what_was_computed_outside(body, function, x64):
    """Its contributions belong to the trace around the loop, in every view."""
    program, unrolled = (lambda x, y, f=f: f(FUNCTIONS[function](x), y) for f in BODIES[body])
    for bias in ("keep", "propagate"):
        want = relevance(unrolled, (0, 1), bias=bias)(X, Y)
        close(relevance(program, (0, 1), bias=bias)(X, Y), want)
    heats = heatmap(program, (0, 1), outputs=jnp.ones((3, 4)))(X, Y)
    close([heat.sum() for heat in heats], [row.sum() for row in want.sources])
    assert audit(program, (0, 1))(X, Y).passed


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

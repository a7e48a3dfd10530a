"""heatmap and chosen outputs: by hand, and equal to what goes forward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rfp_jax
from rfp_jax._transforms.propagation import FEW

pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(0)
W1, W2 = RNG.normal(size=(6, 8)), RNG.normal(size=(8, 4))
X, Y = RNG.normal(size=(5, 6)), RNG.normal(size=(5, 6))


def net(x, y):
    """A ReLU network of two sources: 5 samples, 4 classes."""
    return jax.nn.relu(x @ W1 + 2 * (y @ W1) + 0.1) @ W2 - 0.3


def _by_hand(k):
    """Gradient times input, with the ReLU's gate written out."""
    on = (X @ W1 + 2 * (Y @ W1) + 0.1 >= 0).astype(float)
    gradient = (
        (on * W2[:, k]) @ W1.T
        if np.ndim(k) == 0
        else np.stack([(row * W2[:, j]) @ W1.T for row, j in zip(on, k, strict=True)])
    )
    return X * gradient, Y * 2 * gradient


@pytest.mark.parametrize("jitted", [False, True])
def test_all_outputs(jitted):
    explain = rfp_jax.heatmap(net, (0, 1), outputs="all")
    heats = (jax.jit(explain) if jitted else explain)(X, Y)
    for k in range(4):
        for heat, expected in zip(heats, _by_hand(k), strict=True):
            np.testing.assert_allclose(heat[k], expected, atol=1e-12)


@pytest.mark.parametrize("outputs", ["argmax", 2, "labels", "weights"])
def test_chosen_outputs(outputs):
    output = np.asarray(net(X, Y))
    labels = {"argmax": output.argmax(-1), 2: np.full(5, 2)}.get(outputs, np.array([3, 0, 1, 1, 2]))
    asked = {"labels": labels, "weights": np.eye(4)[labels]}.get(outputs, outputs)
    for heat, expected in zip(
        rfp_jax.heatmap(net, (0, 1), outputs=asked)(X, Y), _by_hand(labels), strict=True
    ):
        np.testing.assert_allclose(heat, expected, atol=1e-12)
    rel = rfp_jax.relevance(net, (0, 1), outputs=asked)(X, Y)
    for r, expected in zip(rel.sources, _by_hand(labels), strict=True):
        np.testing.assert_allclose(r, expected.sum(-1), atol=1e-12)
    np.testing.assert_allclose(rel.output, output[np.arange(5), labels], atol=1e-12)
    np.testing.assert_allclose(rel.output, rel.bias + sum(rel.sources), atol=1e-12)


def test_labels_go_through_jit():
    @jax.jit
    def explain(x, y, labels):
        return rfp_jax.heatmap(net, (0, 1), outputs=labels)(x, y)

    labels = np.array([3, 0, 1, 1, 2])
    for heat, expected in zip(explain(X, Y, labels), _by_hand(labels), strict=True):
        np.testing.assert_allclose(heat, expected, atol=1e-12)


def _products(fun, *args):
    """Matrix products in the optimized program."""
    return jax.jit(fun).lower(*args).compile().as_text().count(" dot(")


def test_the_cheaper_direction_is_taken():
    """Many sources, one chosen output: one pass back instead of one forward for each."""

    def fused(*sources):
        return jax.nn.relu(sum(sources) @ W1 + 0.1) @ W2

    places, sources = tuple(range(8)), (X,) * 8
    plain = _products(fused, *sources)
    forward = _products(rfp_jax.relevance(fused, places), *sources)
    reverse = _products(rfp_jax.relevance(fused, places, outputs="argmax"), *sources)
    assert (plain, forward) == (2, 2 + 2 * 8)
    assert reverse == 4


def _direction(fun, *arguments):
    """The direction that is taken for the arg-max of a network, by the program that it gives."""

    def program(direction):
        places = tuple(range(len(arguments)))
        explain = rfp_jax.relevance(fun, places, outputs="argmax", direction=direction)
        return str(jax.make_jaxpr(explain)(*arguments))

    chosen, forward, reverse = map(program, ("auto", "forward", "reverse"))
    assert forward != reverse
    assert chosen in (forward, reverse)
    return "forward" if chosen == forward else "reverse"


def test_few_sources_of_a_network_of_convolutions_go_forward():
    """Measured: one pass back through convolutions takes about as long as two pushes."""
    image, kernel = RNG.normal(size=(2, 5, 5, 1)), RNG.normal(size=(3, 3, 1, 4))

    def convolutions(*images):
        dims = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(
            sum(images), kernel, (1, 1), "SAME", dimension_numbers=dims
        )
        x = jax.nn.relu(x).mean((1, 2))
        return jnp.stack([x[:, 0], x[:, 1]], -1)

    def products(*sources):
        return jax.nn.relu(sum(sources) @ W1 + 0.1) @ W2

    assert _direction(convolutions, *[image] * FEW) == "forward"
    assert _direction(convolutions, *[image] * (FEW + 1)) == "reverse"
    assert _direction(jax.jit(convolutions), *[image] * FEW) == "forward"
    assert _direction(products, X) == "forward"
    assert _direction(products, X, Y) == "reverse"


def test_both_directions_give_the_same_numbers():
    split = (rfp_jax.sources.axis(-1), None)
    labels = np.array([3, 0, 1, 1, 2])
    forward = rfp_jax.relevance(net, (0, 1), split=split)(X, Y)
    reverse = rfp_jax.relevance(net, (0, 1), split=split, outputs=labels)(X, Y)
    picked = np.asarray(forward.sources[0])[:, np.arange(5), labels]
    np.testing.assert_allclose(reverse.sources[0], picked, atol=1e-12)


def test_a_while_loop_goes_forward_only():
    def loop(x):
        return jax.lax.while_loop(lambda c: c[1] < 3, lambda c: (c[0] * 2, c[1] + 1), (x, 0))[0]

    with pytest.raises(rfp_jax.ReverseModeError, match=r"test_heatmap.py.*while_loop"):
        rfp_jax.heatmap(loop, outputs=0)(np.ones(3))
    rel = rfp_jax.relevance(loop, split=rfp_jax.sources.axis(), outputs=1)(np.ones(3))
    np.testing.assert_allclose(rel.sources, [0.0, 8.0, 0.0])


def test_what_is_no_number_explains_nothing():
    x = np.array([[1.0, 2.0], [np.nan, 2.0]])
    heat = rfp_jax.heatmap(jnp.tanh, outputs=0)(x)
    assert np.isfinite(heat[0]).all()
    assert np.isnan(heat[1, 0])


def test_a_scalar_output_is_the_only_one():
    for outputs in ("argmax", "all", 1.0):
        heat = rfp_jax.heatmap(jnp.sum, outputs=outputs)(np.array([1.0, 2.0]))
        np.testing.assert_allclose(np.squeeze(heat), [1.0, 2.0])


@pytest.mark.parametrize(
    ("outputs", "error", "message"),
    [
        ("best", ValueError, "'best' is not known"),
        (4, ValueError, "outside 0 to 3"),
        (-1, ValueError, "outside 0 to 3"),
        (np.zeros(3, int), ValueError, r"has shape \[3\]; one index per sample has shape \[5\]"),
        (np.ones(5), TypeError, "must be 'argmax'"),
        ({"a": 1}, TypeError, "must be 'argmax'"),
    ],
)
def test_bad_outputs(outputs, error, message):
    for explain in (rfp_jax.heatmap, rfp_jax.relevance):
        with pytest.raises(error, match=message):
            explain(net, (0, 1), outputs=outputs)(X, Y)


def test_sharing_the_bias_is_refused_backwards():
    with pytest.raises(ValueError, match="known only going forwards"):
        rfp_jax.heatmap(net, bias="share")

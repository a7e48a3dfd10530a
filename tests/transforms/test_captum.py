"""relevance() against the peers: Captum's LRP, and gradient times input, on a SmallNet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from rfp_jax import relevance

pytestmark = pytest.mark.slow

CLASSES = 10


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    kernels = {
        **{f"{side}.conv1": (3, 3, 1, 8) for side in ("left", "right")},
        **{f"{side}.conv2": (3, 3, 8, 12) for side in ("left", "right")},
        "fc1": (5 * 3 * 24, 32),
        "fc2": (32, CLASSES),
    }
    made = {}
    for name, shape in kernels.items():
        made[f"{name}.kernel"] = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1]))
        made[f"{name}.bias"] = rng.normal(size=shape[-1]) * 0.3
    return made


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).normal(size=(2, 6, 14, 10, 1))


def small_net(weights, left, right):
    """The network of `oracles.peers.TwoBranches`, channels last."""

    def conv(x, name):
        dims = ("NHWC", "HWIO", "NHWC")
        kernel, bias = weights[f"{name}.kernel"], weights[f"{name}.bias"]
        x = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=dims)
        return nn.relu(x + bias[None, None, None])

    def branch(x, side):
        return nn.max_pool(conv(conv(x, f"{side}.conv1"), f"{side}.conv2"), (2, 2), (2, 2))

    x = jnp.concatenate([branch(left, "left"), branch(right, "right")], -1)
    x = x.reshape(len(x), -1) @ weights["fc1.kernel"] + weights["fc1.bias"][None]
    return nn.relu(x) @ weights["fc2.kernel"] + weights["fc2.bias"][None]


@pytest.fixture(scope="module")
def explained(weights, images):
    with jax.enable_x64(True):
        return jax.jit(relevance(small_net, (1, 2)))(weights, *images)


@pytest.fixture(scope="module")
def peers():
    pytest.importorskip("torch")
    pytest.importorskip("captum")
    from tests.oracles import peers

    return peers


def test_the_networks_are_equal(peers, weights, images, explained):
    model = peers.TwoBranches(weights)
    np.testing.assert_allclose(explained.output, peers.outputs(model, images), rtol=1e-11)


def test_captum_lrp(peers, weights, images, explained):
    """LRP with a small epsilon, target by target, is RFP: the paper's theorem."""
    want = peers.lrp(peers.TwoBranches(weights), images, CLASSES, epsilon=1e-9)
    assert want.shape == (2, len(images[0]), CLASSES)
    np.testing.assert_allclose(np.array(explained.sources), want, rtol=0, atol=1e-6)


def test_gradient_times_input_of_torch(peers, weights, images, explained):
    want = peers.gradient_times_input(peers.TwoBranches(weights), images, CLASSES)
    np.testing.assert_allclose(np.array(explained.sources), want, rtol=1e-9, atol=1e-12)


def test_gradient_times_input_of_other_piecewise_linear_functions(x64):
    a, b = np.random.default_rng(2).normal(size=(2, 5, 7))
    functions = [
        nn.leaky_relu,
        jnp.abs,
        lambda x: jnp.max(x, 1),
        lambda x: jnp.sort(x, 0),
        lambda x: jnp.maximum(x, 2 * x[:, ::-1]),
        lambda x: jnp.minimum(x, 0) + nn.relu(x) * 3,
        lax.cummax,
        lambda x: lax.top_k(x, 3)[0],
        lambda x: jnp.median(x, 1),
        lambda x: jnp.where(x > 0.2, x, -3 * x),
        lambda x: jnp.sign(lax.stop_gradient(x)) * x,
    ]
    for fun in functions:
        rel = relevance(lambda a, b, fun=fun: fun(a + b), (0, 1))(a, b)
        for part, got in zip((a, b), rel.sources, strict=True):
            np.testing.assert_allclose(got, jax.jvp(fun, (a + b,), (part,))[1], atol=1e-12)

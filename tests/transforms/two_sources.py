"""A network of two sources, and arrays for programs of two."""

import jax
import numpy as np
from flax import linen as nn
from jax import lax

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


W = RNG.normal(size=(4, 4))
X, Y = RNG.normal(size=(2, 3, 4))

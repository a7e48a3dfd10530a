"""Dense networks for tests: plain functions of (kernels, *sources), channels last."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def conv(x, kernel, stride=1, dilation=1, padding="SAME"):
    dims = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, rhs_dilation=(dilation,) * 2, dimension_numbers=dims
    )


def kernels(*shapes, seed=0, dtype=np.float32):
    draw = np.random.default_rng(seed)
    return [jnp.asarray(draw.normal(size=s) / np.sqrt(np.prod(s[:3])), dtype) for s in shapes]


def pool(x, size=2):
    window = (1, size, size, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def up(x, factor=2):
    return jnp.repeat(jnp.repeat(x, factor, 1), factor, 2)


def resize(x, shape, method):
    return jax.image.resize(x, (x.shape[0], *shape, x.shape[3]), method)


def unet_valid(p, x):
    """The U-Net of Ronneberger et al. 2015: 572 to 388 pixels, one channel."""
    k = p[0]
    skips = []
    for _ in range(4):
        x = conv(conv(x, k, padding="VALID"), k, padding="VALID")
        skips.append(x)
        x = pool(x)
    x = conv(conv(x, k, padding="VALID"), k, padding="VALID")
    for skip in reversed(skips):
        dims = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_transpose(x, p[1], (2, 2), "VALID", dimension_numbers=dims)
        cut = [(s - n) // 2 for s, n in zip(skip.shape[1:3], x.shape[1:3], strict=True)]
        inner = skip[:, cut[0] : cut[0] + x.shape[1], cut[1] : cut[1] + x.shape[2]]
        x = jnp.concatenate([x, inner], -1).sum(-1, keepdims=True)
        x = conv(conv(x, k, padding="VALID"), k, padding="VALID")
    return x


def strided(p, *sources):
    """A network of stride 8 with SAME padding and skips, for scenes of any size; six classes."""
    x = jnp.concatenate(sources, -1)
    skips, size = [], x.shape[1:3]
    for kernel in p["down"]:
        skips.append(x)
        x = jax.nn.relu(conv(x, kernel, stride=2) + 0.1)
    for kernel, skip in zip(p["up"], reversed(skips), strict=True):
        x = up(x)[:, : skip.shape[1], : skip.shape[2]]
        x = jax.nn.relu(conv(jnp.concatenate([x, skip], -1), kernel) - 0.05)
    assert x.shape[1:3] == size
    return conv(x, p["head"]) + 0.2


def strided_params(bands, seed=0):
    w = 8
    shapes = [(3, 3, bands, w), (3, 3, w, w), (3, 3, w, w)]
    shapes += [(3, 3, 2 * w, w), (3, 3, 2 * w, w), (3, 3, w + bands, w), (1, 1, w, 6)]
    k = kernels(*shapes, seed=seed)
    return {"down": k[:3], "up": k[3:6], "head": k[6] * 2}

"""Margins and strides by hand, by brute force, and where there are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from networks import conv, kernels, pool, resize, unet_valid, up

from rfp_jax import maps

(K,) = kernels((3, 3, 1, 1))
ONE = [jax.ShapeDtypeStruct((1, 48, 64, 1), jnp.float32)]


def found(fun, sources=ONE, **options):
    field = maps.field(lambda _, *x: fun(*x), None, sources, **options)
    return field.margins, field.stride


def test_three_convolutions():
    assert found(lambda x: conv(conv(conv(x, K), K), K)) == ((3,) * 4, (1, 1))


def test_a_dilated_convolution():
    assert found(lambda x: conv(x, K, dilation=4)) == ((4,) * 4, (1, 1))


def test_a_dilation_wider_than_the_window():
    assert found(lambda x: conv(x, K, dilation=100)) == ((100,) * 4, (1, 1))


def test_pooling_and_nearest_upsampling():
    def network(x):
        return up(conv(pool(conv(x, K)), K))

    assert found(network) == ((4,) * 4, (2, 2))


def test_nearest_by_image_resize():
    def network(x):
        return resize(conv(pool(conv(x, K)), K), x.shape[1:3], "nearest")

    assert found(network) == ((4,) * 4, (2, 2))


def test_a_unet_of_valid_convolutions():
    p = [K, jnp.ones((2, 2, 1, 1))]
    sources = [jax.ShapeDtypeStruct((1, 572, 572, 1), jnp.float32)]
    field = maps.field(unet_valid, p, sources)
    assert (field.margins, field.stride) == ((92,) * 4, (16, 16))


def test_global_operations_are_named_with_their_line():
    def network(_, x):
        y = conv(x, K)
        return y - y.mean((1, 2), keepdims=True)  # this line

    field = maps.field(network, None, ONE)
    assert field.is_global
    with pytest.raises(maps.GlobalNetworkError, match=r"reduce_sum' at .*test_field.py:\d+") as e:
        _ = field.margins
    line = int(str(e.value).split("test_field.py:")[1].split()[0].split(":")[0])
    with open(__file__) as file:
        assert "# this line" in file.readlines()[line - 1]


def unshuffled(x):
    b, h, w, _ = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2)
    return x.transpose(0, 1, 3, 2, 4).reshape(b, h // 2, w // 2, 4)


def shuffled(x):
    b, h, w, _ = x.shape
    x = x.reshape(b, h, w, 2, 2).transpose(0, 1, 3, 2, 4)
    return x.reshape(b, 2 * h, 2 * w, 1)


def windows(x):
    b, h, w, c = x.shape
    y = x.reshape(b, h // 8, 8, w // 8, 8, c)
    y = y - y.mean((2, 4), keepdims=True)
    return y.reshape(b, h, w, c) + 0 * x


def in_patches(x, mix):
    """Mix the pixels of patches of 4 x 4, each a token or the features of one."""
    b, h, w, _ = x.shape
    tokens = x.reshape(b, h // 4, 4, w // 4, 4).transpose(0, 1, 3, 2, 4)
    mixed = mix(tokens.reshape(b, h // 4, w // 4, 16))
    return mixed.reshape(b, h // 4, w // 4, 4, 4).transpose(0, 1, 3, 2, 4).reshape(x.shape)


def attention_inside(tokens):
    scores = jax.nn.softmax(tokens[..., :, None] * tokens[..., None, :])
    return jnp.einsum("...ij,...j->...i", scores, tokens)


def padded(x, mode):
    return conv(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode), K, padding="VALID")


MIXED = jax.random.normal(jax.random.key(5), (16, 16))

LOCAL = {
    "strided": lambda x: up(conv(x, K, stride=2)),
    "strided, asymmetric": lambda x: up(conv(x, jnp.ones((2, 2, 1, 1)), stride=2)),
    "bilinear": lambda x: resize(conv(pool(x), K), x.shape[1:3], "bilinear"),
    "bilinear by 4": lambda x: resize(conv(pool(x, 4), K), x.shape[1:3], "bilinear"),
    "cubic": lambda x: resize(pool(x), x.shape[1:3], "cubic"),
    "transposed": lambda x: lax.conv_transpose(
        conv(x, K, stride=2), K, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
    "average, counting": lambda x: (
        lax.reduce_window(x, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
        / lax.reduce_window(jnp.ones_like(x), 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    ),
    "reflected": lambda x: padded(x, "reflect"),
    "edges repeated": lambda x: padded(x, "edge"),
    "symmetric": lambda x: padded(x, "symmetric"),
    "embedded patches": lambda x: in_patches(conv(x, K), lambda t: t @ MIXED),
    "attention in windows": lambda x: in_patches(conv(x, K), attention_inside),
    "image by image": jax.vmap(lambda image: conv(image[None], K)[0]),
    "channel by channel": lambda x: jax.vmap(
        lambda plane: conv(plane[..., None], K)[..., 0], in_axes=-1, out_axes=-1
    )(jnp.concatenate([x, -x], -1)).max(-1, keepdims=True),
    "pixel shuffle": lambda x: shuffled(conv(unshuffled(x), jnp.ones((3, 3, 4, 4)))),
    "windows": windows,
    "shifted": lambda x: x + jnp.pad(x, ((0, 0), (5, 0), (0, 2), (0, 0)))[:, :-5, 2:],
    "scan": lambda x: lax.scan(lambda c, k: (conv(c, k), None), x, jnp.stack([K, K]))[0],
    "cond": lambda x: lax.cond(K.sum() > 0, lambda x: conv(x, K), lambda x: x, x),
    "silu": lambda x: jax.nn.silu(conv(x, K)),
    "channel norm": lambda x: x - x.mean(-1, keepdims=True),
    "branches": lambda x: conv(conv(conv(x, K), K), K) + up(conv(x, jnp.ones((1, 1, 1, 1)), 2)),
}


@pytest.mark.parametrize("name", LOCAL)
def test_windows_equal_the_whole_but_for_the_margins(name):
    """Brute force: the outputs of an aligned window that differ from the whole scene's."""
    fun = LOCAL[name]
    (top, bottom, left, right), (sy, sx) = found(fun)
    draw = np.random.default_rng(1)
    scene = jnp.asarray(draw.normal(size=(1, 96, 128, 1)), jnp.float32)
    y0, x0 = -(-32 // sy) * sy, -(-40 // sx) * sx
    whole, part = fun(scene), fun(scene[:, y0 : y0 + 48, x0 : x0 + 64])
    same = np.isclose(part, whole[:, y0 : y0 + 48, x0 : x0 + 64], atol=1e-5)[0, ..., 0]
    assert same[top : 48 - bottom, left : 64 - right].all()
    rows = np.flatnonzero(~same[:, 32])
    columns = np.flatnonzero(~same[24])
    assert max([r + 1 for r in rows if r < 24], default=0) == top
    assert max([48 - r for r in rows if r >= 24], default=0) == bottom
    assert max([c + 1 for c in columns if c < 32], default=0) == left
    assert max([64 - c for c in columns if c >= 32], default=0) == right


def attention(x):
    b, h, w, c = x.shape
    t = x.reshape(b, h * w, c)
    scores = jax.nn.softmax(jnp.einsum("bic,bjc->bij", t, t))
    return jnp.einsum("bij,bjc->bic", scores, t).reshape(x.shape)


def aligned(x, n):
    m = x.shape[1]
    at = jnp.arange(n) * ((m - 1) / (n - 1))
    low = jnp.floor(at).astype(int)
    t = (at - low)[None, :, None, None]
    return x[:, low] * (1 - t) + x[:, jnp.minimum(low + 1, m - 1)] * t


GLOBAL = {
    "cumsum": (lambda x: jnp.cumsum(x, 1), "cumsum"),
    "sort": (lambda x: jnp.sort(x, 2), "sort"),
    "flip": (lambda x: x + x[:, ::-1], "add"),
    "roll": (lambda x: jnp.roll(x, 3, 1), ""),
    "global maximum": (lambda x: x / x.max(), "reduce_max"),
    "fourier": (lambda x: jnp.fft.fft(x, axis=1).real, "fft"),
    "attention": (attention, ""),
    "position": (lambda x: x + jnp.linspace(0, 1, x.shape[1])[None, :, None, None], "add"),
    "dense in space": (
        lambda x: jnp.einsum("bhwc,hk->bkwc", x, jnp.ones((x.shape[1], x.shape[1]))),
        "dot_general",
    ),
    "aligned corners": (lambda x: aligned(pool(x), x.shape[1]), ""),
    "rows one by one": (lambda x: lax.scan(lambda c, r: (c + r,) * 2, x[:, 0], x.swapaxes(0, 1))[1]
                        .swapaxes(0, 1), ""),
    "dynamic": (lambda x: jnp.take(x, (x[0, :, 0, 0] * 0).astype(int), 1), "gather"),
}  # fmt: skip


@pytest.mark.parametrize("name", GLOBAL)
def test_what_is_global_is_named(name):
    fun, primitive = GLOBAL[name]
    small = [jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)]
    field = maps.field(lambda _, x: fun(x), None, small)
    assert field.is_global
    assert primitive in field.operations[0].primitive
    assert field.operations[0].source


def test_sources_of_two_resolutions():
    ten = jax.ShapeDtypeStruct((1, 64, 64, 1), jnp.float32)
    twenty = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    assert found(lambda a, b: conv(a, K) + up(conv(b, K)), [ten, twenty]) == ((2,) * 4, (2, 2))


def test_sources_channels_first():
    source = jax.ShapeDtypeStruct((1, 3, 64, 64), jnp.float32)
    (k,) = kernels((5, 3, 3, 5))
    dims = ("NCHW", "HWIO", "NCHW")
    k = jnp.ones((5, 3, 3, 2))

    def network(x):
        return lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=dims)

    assert found(network, [source], dims="bcyx") == ((2, 2, 1, 1), (1, 1))

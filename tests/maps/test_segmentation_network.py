"""A network as segmentation_models_pytorch builds it: a strided ResNet encoder, a U-Net decoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import rfp_jax
from rfp_jax import maps
from rfp_jax.models._layers import max_pool
from rfp_jax.models._resnet import BasicBlock

STRIDE = 32


class ResNetUNet(nn.Module):
    """Stem of stride 4, four stages, five decoder blocks; takes scenes of any size by padding."""

    width: int = 4
    classes: int = 3

    @nn.compact
    def __call__(self, optical, radar):
        x = jnp.concatenate([optical, radar], -1)
        height, width = x.shape[1:3]
        x = jnp.pad(x, ((0, 0), (0, -height % STRIDE), (0, -width % STRIDE), (0, 0)))
        conv = lambda features, kernel, **options: nn.Conv(  # noqa: E731
            features, kernel, use_bias=False, **options
        )
        norm = lambda **options: nn.BatchNorm(use_running_average=True, **options)  # noqa: E731
        x = conv(self.width, (7, 7), strides=2, padding=3)(x)
        x = nn.relu(norm()(x))
        skips = [x]
        x = max_pool(x, 3, 2, padding=1)
        for stage in range(4):
            x = BasicBlock(self.width << stage, 1 if stage == 0 else 2, conv, norm)(x)
            skips.append(x)
        for skip in [*reversed(skips[:-1]), None]:
            x = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
            x = x if skip is None else jnp.concatenate([x, skip], -1)
            for _ in range(2):
                x = nn.relu(norm()(conv(self.width, (3, 3), padding=1)(x)))
        x = nn.Conv(self.classes, (3, 3))(x)
        return x[:, :height, :width]


@pytest.fixture(scope="module")
def network():
    """The network with weights and statistics that are not those of its beginning."""
    model, draw = ResNetUNet(), np.random.default_rng(0)
    shapes = [jax.ShapeDtypeStruct((1, 64, 64, bands), jnp.float32) for bands in (3, 2)]
    variables = jax.eval_shape(model.init, jax.random.key(0), *shapes)

    def drawn(path, leaf):
        name = path[-1].key
        values = draw.normal(size=leaf.shape) / np.sqrt(max(np.prod(leaf.shape[:-1]), 1))
        values = {"scale": 1 + 0.1 * values, "var": 1 + abs(values)}.get(name, values)
        return jnp.asarray(values, leaf.dtype)

    return model, jax.tree_util.tree_map_with_path(drawn, variables)


def test_its_field_is_wider_than_the_scene_that_is_looked_at_first(network):
    model, variables = network
    shapes = [jax.ShapeDtypeStruct((1, 128, 128, bands), jnp.float32) for bands in (3, 2)]
    found = maps.field(model.apply, variables, shapes)
    assert found.stride == (STRIDE, STRIDE)
    # Each 3 x 3 convolution looks one of its pixels upwards: the stem 3, its pooling 2, the stages
    # 4 + 4, 4 + 8, 8 + 16 and 16 + 32, the decoder twice 16, 8, 4, 2, 1; the head 1.
    looks = 3 + 2 + 8 + 12 + 24 + 48 + 2 * 31 + 1
    assert looks <= found.margins[0] <= looks + STRIDE
    assert found.margins[0] == found.margins[2]


def test_its_tiles_equal_the_whole(network, raster):
    model, variables = network
    draw, shape = np.random.default_rng(1), (549, 581)
    arrays = [draw.normal(size=(bands, *shape)).astype(np.float32) for bands in (3, 2)]
    sources = {"optical": raster(arrays[0]), "radar": raster(arrays[1])}
    scene = maps.relevance(model.apply, variables, sources, outputs="all", tile=128, progress=False)
    inputs = [jnp.moveaxis(jnp.asarray(a), 0, -1)[None] for a in arrays]
    whole = jax.jit(rfp_jax.relevance(model.apply, (1, 2)))(variables, *inputs)
    parts = np.moveaxis(np.stack([*whole.sources, whole.bias])[:, 0], -1, 0)
    assert scene.attrs["tile"] == "[128, 128]"
    assert abs(parts).max() > 0
    assert abs(scene.relevance.values - parts).max() <= 1e-5 * abs(parts).max()

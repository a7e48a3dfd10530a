"""Checkpoints of the published architectures, and files that hold them."""

import torch

from rfp_jax.convert.flax._torch_libraries import MODELS
from tests.golden.weights import golden_state_dict


def flax_network(arch, channels=(1, 1), classes=10, positions=60):
    with torch.device("meta"):
        return MODELS[arch](channels, classes, positions)


def random_state_dict(arch, *size, seed=0):
    shapes = {key: tuple(t.shape) for key, t in flax_network(arch, *size).state_dict().items()}
    return golden_state_dict(shapes, seed)


def as_tensors(state_dict):
    return {key: torch.from_numpy(array) for key, array in state_dict.items()}


def save_file(path, content, *, legacy=False):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path

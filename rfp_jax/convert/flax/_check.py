"""The self-check of a conversion: PyTorch and Flax on the same random batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch

from rfp_jax.convert.flax._errors import SelfCheckError
from rfp_jax.convert.flax._mapping import get_architecture, read_size, strip_prefix
from rfp_jax.convert.flax._torch_models import MODELS

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Check:
    """How far PyTorch and Flax are apart.

    Attributes:
        largest_difference: largest absolute difference of any output.
        relative_difference: the same over the largest absolute output of PyTorch.
        input_shapes: shapes [batch, height, width, channels] of the random inputs.
    """

    largest_difference: float
    relative_difference: float
    input_shapes: list[tuple[int, ...]]


def self_check(
    arch: str,
    state_dict: Mapping[str, torch.Tensor],
    variables: Mapping[str, Any],
    *,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Check:
    """Compare PyTorch with Flax on the same random batch of two, in float32.

    Args:
        arch: as of `to_flax`.
        state_dict: PyTorch key -> tensor, from which the PyTorch network is built.
        variables: the Flax variables that should compute the same.
        tolerance: largest relative difference of the outputs that passes.
        seed: of the inputs, standard normal.

    Returns:
        The differences.

    Raises:
        SelfCheckError: if the outputs differ by more, or are not finite.
    """
    size = read_size(arch, state_dict)
    architecture = get_architecture(arch)
    shapes = architecture.input_shapes(size, batch=2)
    rng = np.random.default_rng(seed)
    inputs = [rng.standard_normal(shape, np.float32) for shape in shapes]

    with torch.device("meta"):  # shapes alone: the arrays are those of the state dict
        network = MODELS[arch](size.channels, size.classes, size.positions)
    tensors = {
        key: value.float() if value.is_floating_point() else value
        for key, value in strip_prefix(state_dict).items()
    }
    # Not strict: one of two aliases suffices, old files have no counters. to_flax saw all the rest.
    network.load_state_dict(tensors, strict=False, assign=True)
    with torch.inference_mode():
        batch = [torch.from_numpy(x.transpose(0, 3, 1, 2)) for x in inputs]
        expected = network.eval()(*batch).double().numpy()

    model = architecture.model(num_classes=size.classes)
    singles = jax.tree.map(lambda array: np.asarray(array, np.float32), dict(variables))
    with jax.default_matmul_precision("highest"):
        output = np.asarray(jax.jit(model.apply)(singles, *inputs), np.float64)

    largest = float(np.abs(output - expected).max())
    scale = float(np.abs(expected).max())
    if not np.isfinite([largest, scale]).all():
        raise SelfCheckError(
            f"the outputs of {arch} on a random batch are not finite: "
            "the weights hold NaN or infinity, or overflow float32"
        )
    relative = largest / scale if scale else largest
    if relative > tolerance:
        raise SelfCheckError(
            f"PyTorch and Flax differ by {largest:.3g} on a random batch through {arch}, "
            f"{relative:.3g} relative; at most {tolerance:.3g} passes"
        )
    return Check(largest, relative, shapes)

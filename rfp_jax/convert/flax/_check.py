"""The self-check of a conversion: PyTorch and Flax on the same random batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax.errors import FlaxError

from rfp_jax._util.npz import read_npz
from rfp_jax._util.trees import Tree
from rfp_jax.convert.flax._errors import SelfCheckError
from rfp_jax.convert.flax._mapping import get_architecture, read_size
from rfp_jax.convert.flax._state_dict import as_arrays
from rfp_jax.convert.flax._torch_libraries import MODELS

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Check:
    """The distance between PyTorch and Flax.

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
    variables: Mapping[str, Tree],
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
        key: torch.from_numpy(np.asarray(array, _single(array)))
        for key, array in as_arrays(state_dict).items()
    }
    # Not strict: one of two aliases suffices, old files have no counters. to_flax saw all the rest.
    network.load_state_dict(tensors, strict=False, assign=True)
    with torch.inference_mode():
        batch = [torch.from_numpy(x.transpose(0, 3, 1, 2)) for x in inputs]
        expected = network.eval()(*batch).double().numpy()

    output = _apply(arch, size.classes, variables, inputs)
    where = f"a random batch through {arch}"
    return Check(*_compare(output, expected, tolerance, where), shapes)


def compare_with_saved(
    path: Path, arch: str, classes: int, variables: Mapping[str, Tree], *, tolerance: float
) -> Check:
    """Compare Flax with outputs that somebody saved from her own PyTorch network.

    Args:
        path: an `.npz` with `output` [batch, classes] and, in the order of the network's arguments,
            its inputs [batch, channels, height, width] under any other names.
        arch: as of `to_flax`.
        classes: number of outputs.
        variables: the Flax variables.
        tolerance: largest relative difference of the outputs that passes.

    Returns:
        The differences.

    Raises:
        SelfCheckError: if the outputs differ by more, are not finite, or the file cannot be used.
    """
    try:
        arrays = read_npz(path)
    except ValueError as error:
        raise SelfCheckError(str(error)) from error
    expected = arrays.pop("output", None)
    if expected is None or not arrays:
        raise SelfCheckError(
            f"{path} has the arrays {', '.join(arrays) or 'none'}: expected 'output' and the "
            "inputs in order, as of np.savez(file, input=x.numpy(), output=model(x).numpy())"
        )
    wrong = [f"{name} {array.shape}" for name, array in arrays.items() if array.ndim != 4]
    if wrong:
        raise SelfCheckError(
            f"{path}: expected inputs [batch, channels, height, width], got {', '.join(wrong)}"
        )
    inputs = [
        np.ascontiguousarray(array.transpose(0, 2, 3, 1), np.float32) for array in arrays.values()
    ]
    try:
        output = _apply(arch, classes, variables, inputs)
    except (TypeError, ValueError, FlaxError) as error:
        given = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise SelfCheckError(
            f"the inputs in {path} do not fit {arch}: {given} ({error})"
        ) from error
    if output.shape != expected.shape:
        raise SelfCheckError(f"{path}: output is {expected.shape}, {arch} gives {output.shape}")
    shapes = [array.shape for array in inputs]
    differences = _compare(output, expected.astype(np.float64), tolerance, f"{path} through {arch}")
    return Check(*differences, shapes)


def _single(array: np.ndarray) -> np.dtype:
    """Float32 for floating point numbers of any size."""
    return np.dtype(np.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array.dtype


def _apply(
    arch: str, classes: int, variables: Mapping[str, Tree], inputs: Sequence[np.ndarray]
) -> np.ndarray:
    model = get_architecture(arch).model(num_classes=classes)
    singles = jax.tree.map(lambda array: np.asarray(array, np.float32), dict(variables))
    with jax.default_matmul_precision("highest"):
        return np.asarray(jax.jit(model.apply)(singles, *inputs), np.float64)


def _compare(
    output: np.ndarray, expected: np.ndarray, tolerance: float, where: str
) -> tuple[float, float]:
    """Largest and relative difference; an error where they are too large."""
    largest = float(np.abs(output - expected).max())
    scale = float(np.abs(expected).max())
    if not np.isfinite([largest, scale]).all():
        raise SelfCheckError(
            f"the outputs on {where} are not finite: "
            "the weights hold NaN or infinity, or overflow float32"
        )
    relative = largest / scale if scale else largest
    if relative > tolerance:
        raise SelfCheckError(
            f"PyTorch and Flax differ by {largest:.3g} on {where}, "
            f"{relative:.3g} relative; at most {tolerance:.3g} passes"
        )
    return largest, relative

"""State dicts to Flax variables and back."""

import functools
import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from rfp_jax._util.trees import Given, Tree
from rfp_jax.convert.flax._architectures import ARCHITECTURES, Architecture, Path, Size
from rfp_jax.convert.flax._errors import StateDictError, UnknownArchitectureError
from rfp_jax.convert.flax._layouts import Layout, Shape, WholeMap
from rfp_jax.convert.flax._state_dict import as_arrays, join_names, own_keys


@dataclass(frozen=True)
class _Array:
    """One array of a network: its name on both sides and its shape in Flax."""

    key: str
    path: Path
    layout: Layout | WholeMap
    shape: Shape

    @property
    def counter(self) -> str:
        """PyTorch's count of batches, beside running statistics; nothing computes with it."""
        return f"{self.key.rpartition('.')[0]}.num_batches_tracked"


def get_architecture(arch: str) -> Architecture:
    """The architecture of this name.

    Args:
        arch: "smallnet", "resnet50", "densenet121", "vgg16" or "fusion_resnet18" as published for
            SEN12MS and MNIST; "torchvision_resnet50", "torchvision_densenet121" (timm's are the
            same), "torchvision_vgg16" or "timm_vgg16".

    Returns:
        Its module and its table of key patterns.

    Raises:
        UnknownArchitectureError: if there is none of this name.
    """
    if arch not in ARCHITECTURES:
        raise UnknownArchitectureError(
            f"unknown architecture {arch!r}: expected one of {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[arch]


def recognize(keys: Iterable[str]) -> str:
    """Name of the architecture that a state dict's keys belong to.

    Args:
        keys: PyTorch keys; what wrappers put before them is allowed, see `to_flax`.

    Returns:
        A name that `to_flax` takes.

    Raises:
        UnknownArchitectureError: if the keys belong to no known architecture; names the nearest.

    Examples:
        >>> recognize(["encoder.0.weight", "encoder.4.0.conv1.weight", "FC.weight"])
        'resnet50'
    """
    names = _own_names(keys)
    for architecture in ARCHITECTURES.values():
        if all(key in names for key in architecture.signature):
            return architecture.name
    raise UnknownArchitectureError(_nearest(names))


def read_size(arch: str, state_dict: Mapping[str, Given]) -> Size:
    """Input channels, classes and flattened positions of a network, off its state dict.

    Args:
        arch: as of `to_flax`.
        state_dict: as of `to_flax`, known to fit.

    Returns:
        The size; `get_architecture(arch).input_shapes(size, batch)` gives inputs that fit it.

    Raises:
        UnknownArchitectureError: if `arch` is not known.
        TypeError: if `state_dict` is not a mapping from strings.
    """
    architecture = get_architecture(arch)
    return _read_size(architecture, _resolve_aliases(architecture, as_arrays(state_dict)))


def to_flax(arch: str, state_dict: Mapping[str, Given]) -> dict[str, Tree]:
    """Flax variables of a PyTorch state dict.

    Kernels are transposed, and rows of a dense layer over a flattened feature map are permuted:
    PyTorch flattens channels first, Flax channels last. Sizes (input channels, classes, inputs of
    the dense layer) are read off the shapes. Keys may carry the `module.` of `DataParallel`, the
    `_orig_mod.` of `torch.compile`, a `model.` or `net.` before every key, and `n_averaged`; weight
    normalization is multiplied out; one of two aliases of a tensor suffices; `num_batches_tracked`,
    which nothing uses, is left out.

    Args:
        arch: as of `get_architecture`.
        state_dict: PyTorch key -> array (NumPy, PyTorch or JAX) of floating point numbers.

    Returns:
        `{"params": ..., "batch_stats": ...}` as `rfp_jax.models` makes them ("batch_stats" where
        there is batch normalization), of NumPy arrays with the dtypes of the state dict.

    Raises:
        UnknownArchitectureError: if `arch` is none of the above.
        StateDictError: if keys are missing, unexpected, misshapen or invalid; it lists every one.
        TypeError: if `state_dict` is not a mapping from strings.

    Examples:
        >>> from rfp_jax.convert.flax import to_flax
        >>> from rfp_jax.convert.flax._torch_models import SmallNet
        >>> state_dict = SmallNet(channels=(1, 1), classes=10, positions=60).state_dict()
        >>> to_flax("smallnet", state_dict)["params"]["fc1"]["kernel"].shape
        (7680, 128)
    """
    architecture = get_architecture(arch)
    arrays_given = as_arrays(state_dict)
    given = _resolve_aliases(architecture, arrays_given)
    size = _read_size(architecture, given)
    arrays = _arrays(arch, size)
    counters = {array.counter for array in arrays if array.path[0] == "batch_stats"}
    _compare(
        f"the state dict does not fit {arch} ({size})",
        expected={array.key: array.layout.torch_shape(array.shape) for array in arrays},
        given={key: array for key, array in given.items() if key not in counters},
        invalid=_unequal_aliases(architecture, arrays_given),
        hint=_hint(architecture, given),
    )
    return unflatten_dict({array.path: array.layout.to_flax(given[array.key]) for array in arrays})


def to_torch(
    arch: str, variables: Mapping[str, Tree], *, num_batches_tracked: int = 0
) -> dict[str, np.ndarray]:
    """PyTorch state dict of Flax variables, the exact inverse of `to_flax`.

    Args:
        arch: as of `get_architecture`.
        variables: `{"params": ..., "batch_stats": ...}` as of `to_flax` or a model's `init`.
        num_batches_tracked: value of the counters of that name, which Flax does not have.

    Returns:
        PyTorch key -> NumPy array with the dtypes of the variables, aliases and counters included;
        `torch.from_numpy` makes tensors of them.

    Raises:
        UnknownArchitectureError: if `arch` is none of the above.
        StateDictError: if arrays are missing, unexpected, misshapen or invalid; it lists every one.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from rfp_jax.convert.flax import to_torch
        >>> from rfp_jax.models import SmallNet
        >>> half = jnp.zeros((1, 28, 14, 1))
        >>> to_torch("smallnet", SmallNet().init(jax.random.key(0), half, half))["fc1.weight"].shape
        (128, 7680)
    """
    architecture = get_architecture(arch)
    given = {path: np.asarray(array) for path, array in flatten_dict(dict(variables)).items()}
    shapes = {}
    for path, array in given.items():
        found = architecture.find_key(path)
        if found and array.ndim == found[1].layout.rank:
            shapes[found[0]] = found[1].layout.torch_shape(array.shape)
    size = architecture.read_size(shapes)
    arrays = _arrays(arch, size)
    _compare(
        f"the variables do not fit {arch} ({size})",
        expected={"/".join(array.path): array.shape for array in arrays},
        given={"/".join(path): array for path, array in given.items()},
    )
    state_dict = {}
    for array in arrays:
        state_dict[array.key] = array.layout.to_torch(given[array.path])
        if array.path[0] == "batch_stats":
            state_dict[array.counter] = np.asarray(num_batches_tracked, np.int64)
    return state_dict | {alias: state_dict[key] for alias, key in architecture.aliases.items()}


def _own_names(keys: Iterable[str]) -> set[str]:
    return set(join_names(own_keys(dict.fromkeys(keys))))


def _nearest(names: Collection[str]) -> str:
    """Say which architecture has the most of these names, with or without a common prefix."""
    shown = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
    lines = [f"the keys belong to none of {', '.join(ARCHITECTURES)}: {shown or 'there are none'}"]
    fits = [
        (sum(a.find_path(name.removeprefix(prefix)) is not None for name in names), prefix, a.name)
        for prefix in _common_prefixes(names)
        for a in ARCHITECTURES.values()
    ]
    count, prefix, nearest = max(fits, key=lambda fit: fit[0], default=(0, "", ""))
    if count:
        lines.append(f"Nearest is {nearest}: {count} of {len(names)} keys fit")
        lines[-1] += f" without their common prefix {prefix!r}." if prefix else "."
    elif prefix := max(_common_prefixes(names), default=""):
        lines.append(f"Their common prefix is {prefix!r}.")
    lines.append("For a network of your own see rfp_jax.convert.from_torch, which takes any.")
    return "\n".join(lines)


def _common_prefixes(names: Collection[str]) -> list[str]:
    """Every prefix of whole parts that all names share, from "" on."""
    parts = [name.split(".")[:-1] for name in names]
    shared = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*parts, strict=False))
    return list(itertools.accumulate((f"{level[0]}." for level in shared), initial=""))


def _resolve_aliases(
    architecture: Architecture, given: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """One key for each tensor."""
    aliased = {key: given[alias] for alias, key in architecture.aliases.items() if alias in given}
    return aliased | {key: given[key] for key in given if key not in architecture.aliases}


def _unequal_aliases(
    architecture: Architecture, given: Mapping[str, np.ndarray]
) -> list[tuple[str, str]]:
    """Aliases whose arrays differ, though they name the same tensor."""
    return [
        (alias, f"names the same tensor as {key}, but the arrays differ")
        for alias, key in architecture.aliases.items()
        if alias in given and key in given and given[alias].tobytes() != given[key].tobytes()
    ]


def _read_size(architecture: Architecture, given: Mapping[str, np.ndarray]) -> Size:
    return architecture.read_size({key: array.shape for key, array in given.items()})


@functools.cache
def _arrays(arch: str, size: Size) -> tuple[_Array, ...]:
    """Every array of a network, as its Flax module declares it; nothing is computed."""
    architecture = ARCHITECTURES[arch]
    model = architecture.model(num_classes=size.classes)
    inputs = [
        jax.ShapeDtypeStruct(shape, jnp.float32) for shape in architecture.input_shapes(size, 1)
    ]
    variables: dict[Path, Tree] = flatten_dict(
        jax.eval_shape(model.init, jax.random.key(0), *inputs)
    )
    arrays = []
    for path, leaf in variables.items():
        found = architecture.find_key(path)
        if found is None:
            raise LookupError(f"the table of {arch} has no pattern for {path}")
        arrays.append(_Array(found[0], path, found[1].layout, leaf.shape))
    return tuple(arrays)


def _compare(
    summary: str,
    expected: Mapping[str, Shape],
    given: Mapping[str, np.ndarray],
    *,
    invalid: Iterable[tuple[str, str]] = (),
    hint: str = "",
) -> None:
    """Raise one error that lists everything in which the given arrays differ from the expected."""
    missing = [(name, f"{shape}") for name, shape in expected.items() if name not in given]
    unexpected = [(name, f"{array.shape}") for name, array in given.items() if name not in expected]
    misshapen = [
        (name, f"expected {shape}, got {given[name].shape}")
        for name, shape in expected.items()
        if name in given and given[name].shape != shape
    ]
    invalid = [
        *invalid,
        *(
            (name, f"expected floating point numbers, got {given[name].dtype}")
            for name in expected
            if name in given and not jnp.issubdtype(given[name].dtype, jnp.floating)
        ),
    ]
    if missing or unexpected or misshapen or invalid:
        raise StateDictError(
            summary,
            missing=missing,
            unexpected=unexpected,
            misshapen=misshapen,
            invalid=invalid,
            hint=hint,
        )


def _hint(architecture: Architecture, keys: Iterable[str]) -> str:
    """Name the architecture that the keys look like, if it is another one."""
    try:
        name = recognize(keys)
    except UnknownArchitectureError:
        return ""
    return "" if name == architecture.name else f"The keys look like those of {name}."

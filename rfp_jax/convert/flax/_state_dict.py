"""Take off what training puts around a network's own keys.

| from | keys | here |
|---|---|---|
| `DataParallel`, DDP, `AveragedModel` | `module.` before every key | taken off |
| Lightning, wrapper classes | `model.`, `net.` before every key | taken off |
| `torch.compile` | `_orig_mod.` anywhere | taken off |
| `AveragedModel` | `n_averaged`, one integer | left out |
| `weight_norm` | `weight_g`, `weight_v` | `weight` = g v / |v| |
| `parametrizations.weight_norm` | `parametrizations.weight.original0`, `original1` | the same |

Source of weight normalization: Salimans & Kingma, NeurIPS 2016, equation 2.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

import jax.numpy as jnp
import numpy as np

from rfp_jax._util.trees import Given

T = TypeVar("T")

PREFIXES = ("module.", "model.", "net.")
_COMPILED = "_orig_mod."
_NORMALIZED = (
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
    (".weight_g", ".weight_v"),
)


def own_keys(state_dict: Mapping[str, T]) -> dict[str, T]:
    """Keys of the network itself, without what wrappers put before them.

    Args:
        state_dict: PyTorch key -> anything.

    Returns:
        The same values under shorter keys.

    Examples:
        >>> own_keys({"n_averaged": 3, "module._orig_mod.a": 1, "module._orig_mod.b": 2})
        {'a': 1, 'b': 2}
    """
    keys = {key: key.replace(_COMPILED, "") for key in state_dict if key != "n_averaged"}
    while keys and (prefix := _shared_prefix(keys.values())):
        keys = {key: short.removeprefix(prefix) for key, short in keys.items()}
    if len(set(keys.values())) < len(keys):  # with and without: which is meant is not known
        return dict(state_dict)
    return {short: state_dict[key] for key, short in keys.items()}


def _shared_prefix(keys: Collection[str]) -> str | None:
    return next((p for p in PREFIXES if all(key.startswith(p) for key in keys)), None)


def join_weight_norm(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of layers under weight normalization: `weight = g v / |v|`.

    The norm is taken over the axes in which `g` has size 1.

    Args:
        arrays: PyTorch key -> array.

    Returns:
        The same, with one weight in the place of each pair, of the dtype of `v`.
    """
    joined = dict(arrays)
    for magnitude, direction in _NORMALIZED:
        for key in [key for key in joined if key.endswith(magnitude)]:
            layer = key.removesuffix(magnitude)
            g, v = joined[key], joined.get(layer + direction)
            if v is None or (g.ndim not in (0, v.ndim)) or f"{layer}.weight" in joined:
                continue  # reported as unexpected
            axes = tuple(axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1)
            exact = v.astype(np.float64)
            norm = np.sqrt(np.square(exact).sum(axes, keepdims=True))
            with np.errstate(divide="ignore", invalid="ignore"):  # not finite, as in PyTorch
                weight = g.astype(np.float64) * exact / norm
            del joined[key], joined[layer + direction]
            joined[f"{layer}.weight"] = weight.reshape(v.shape).astype(v.dtype)
    return joined


def join_names(keys: Iterable[str]) -> list[str]:
    """Names that `join_weight_norm` gives arrays of these names."""
    names = dict.fromkeys(keys)
    for pair in _NORMALIZED:
        for key in list(names):
            layer = key.removesuffix(pair[0])
            if key != layer and layer + pair[1] in names:
                del names[key], names[layer + pair[1]]
                names[f"{layer}.weight"] = None
    return list(names)


def as_arrays(state_dict: Mapping[str, Given]) -> dict[str, np.ndarray]:
    """NumPy arrays of a state dict, under the network's own keys.

    Args:
        state_dict: PyTorch key -> array (NumPy, PyTorch or JAX).

    Returns:
        Own key -> array.

    Raises:
        TypeError: if it is not a mapping from strings.
    """
    if not isinstance(state_dict, Mapping) or not all(isinstance(key, str) for key in state_dict):
        raise TypeError(
            "a state dict maps PyTorch's keys to arrays: pass model.state_dict(), "
            f"not {type(state_dict).__name__}"
        )
    return join_weight_norm({key: as_array(value) for key, value in own_keys(state_dict).items()})


def as_array(value: Given) -> np.ndarray:
    """NumPy array of a NumPy, JAX or PyTorch array."""
    if not hasattr(value, "detach"):
        return np.asarray(value)
    import torch  # the value is one of its tensors

    value = value.detach().cpu()
    if value.dtype == torch.bfloat16:  # NumPy's own dtypes do not have it
        return value.contiguous().view(torch.uint16).numpy().view(np.dtype(jnp.bfloat16))
    return value.numpy()

"""Networks on disk, in the folders that `python -m convert` writes: variables and a manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from rfp_jax._util.files import atomic_folder
from rfp_jax.convert.flax import (
    get_architecture,
    load_variables,
    read_manifest,
    save_manifest,
    save_variables,
)


class Network(NamedTuple):
    """A trained network.

    Attributes:
        model: the Flax module.
        variables: its variables.
        manifest: what is known about it: at least `architecture`, `channels`, `classes`.
    """

    model: nn.Module
    variables: Any
    manifest: Mapping[str, Any]


def build(
    architecture: str, classes: int, width: int | None = None, dtype: Any = None
) -> nn.Module:
    """A network of the given architecture and, if given, width, computing in `dtype`."""
    chosen = {} if width is None else {"width": width}
    return get_architecture(architecture).model(num_classes=classes, dtype=dtype, **chosen)


def load(folder: Path) -> Network:
    """Load a network that `train` or `python -m convert` wrote.

    Args:
        folder: its folder.

    Returns:
        The network.

    Raises:
        ValueError: if it is not such a folder, or a damaged one; says what to do.
    """
    try:
        manifest = read_manifest(folder)
        model = build(manifest["architecture"], manifest["classes"], manifest.get("width"))
        if sum(manifest["channels"]) != manifest["inputs"]:
            raise ValueError(f"{manifest['inputs']} inputs, but channels {manifest['channels']}")
        variables = load_variables(folder)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder} holds no network ({type(error).__name__}: {error}). Name the folder "
            "'checkpoint' of a training, or one that `python -m convert` wrote"
        ) from error
    return Network(model, variables, manifest)


def check_fits(network: Network, channels: tuple[int, ...], classes: int, size: int) -> None:
    """Refuse data that a network was not made for.

    Args:
        network: the network.
        channels: how many channels each source of the data has.
        classes: how many classes the data have.
        size: height and width of the data.

    Raises:
        ValueError: says what differs.
    """
    manifest = network.manifest
    if manifest["classes"] != classes:
        raise ValueError(f"the network has {manifest['classes']} classes, the data {classes}")
    if manifest["inputs"] != sum(channels):
        raise ValueError(
            f"the network sees {manifest['inputs']} channels, the data have {sum(channels)}: "
            "choose other inputs (s1s2: 12, s2: 10, rgb: 3, s1: 2)"
        )
    joined = len(manifest["channels"]) == 1
    if not joined and tuple(manifest["channels"]) != tuple(channels):
        raise ValueError(
            f"the network's sources have {manifest['channels']} channels, the data {list(channels)}"
        )
    if (fits := manifest.get("input_size")) and list(fits) != [size, size]:
        raise ValueError(f"the network fits images of {fits}, the data have {size} x {size}")


def save(folder: Path, network: Network) -> None:
    """Write a network, in place of one that is there; it is there whole or not at all.

    Args:
        folder: where to.
        network: what to write.
    """
    with atomic_folder(folder) as unfinished:
        save_variables(unfinished, jax.tree.map(np.asarray, network.variables))
        save_manifest(unfinished, network.manifest)

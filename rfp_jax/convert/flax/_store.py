"""Converted checkpoints on disk: a folder with Flax variables (Orbax) and a manifest (JSON)."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from flax import linen as nn

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.trees import Json, Tree
from rfp_jax.convert._errors import ConversionError
from rfp_jax.convert.flax._mapping import get_architecture

_VARIABLES, _MANIFEST = "variables", "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """The contents of a converted checkpoint's `manifest.json`.

    Attributes:
        architecture: as of `to_flax`.
        inputs: number of input channels, of all arrays that the network takes.
        channels: number of input channels of each array.
        classes: number of outputs.
        input_size: height and width that the network fits; None if it fits any.
        dtypes: dtypes of the variables.
        source: name of the PyTorch file.
        source_sha256: its SHA-256, in hexadecimal.
        epoch: the epoch that it names, or None.
        best_prec: the best validation score that it names, or None.
        num_batches_tracked: PyTorch's count of training batches, or None; `to_torch` takes it.
        largest_difference: largest difference of PyTorch's and Flax's outputs in the self-check.
        relative_difference: the same over PyTorch's largest output.
        versions: versions of the packages that took part.
        state_dict: the entry of the file that was taken, or None if it is a state dict itself.
        own_outputs: `file`, `largest_difference` and `relative_difference` of the comparison with
            outputs that were saved from another network; None without one.
    """

    architecture: str
    inputs: int
    channels: list[int]
    classes: int
    input_size: list[int] | None
    dtypes: list[str]
    source: str
    source_sha256: str
    epoch: int | None
    best_prec: float | None
    num_batches_tracked: int | None
    largest_difference: float
    relative_difference: float
    versions: dict[str, str]
    state_dict: str | None = None
    own_outputs: dict[str, Json] | None = None


class Converted(NamedTuple):
    """A converted checkpoint, ready for `model.apply(variables, ...)`.

    Attributes:
        model: the Flax module.
        variables: its variables, of NumPy arrays.
        manifest: what is known about them.
    """

    model: nn.Module
    variables: dict[str, Tree]
    manifest: Manifest


def load(directory: str | Path) -> Converted:
    """Load a checkpoint that `rfp-jax convert CHECKPOINT OUT_DIR` wrote. PyTorch is not needed.

    Args:
        directory: the folder.

    Returns:
        `(model, variables, manifest)`.

    Raises:
        ConversionError: if the folder is not one that the command wrote.
        UnknownArchitectureError: if this version does not know the architecture.
        ModuleNotFoundError: if Orbax is not installed.
    """
    directory = Path(directory)
    try:
        manifest = Manifest(**read_manifest(directory))
    except (OSError, ValueError, TypeError) as error:
        raise ConversionError(
            f"{directory} is not a folder that `rfp-jax convert CHECKPOINT` wrote: "
            f"{_MANIFEST}: {error}"
        ) from error
    model = get_architecture(manifest.architecture).model(num_classes=manifest.classes)
    return Converted(model, load_variables(directory), manifest)


def read_manifest(directory: Path) -> dict[str, Json]:
    """Read the manifest of a folder, whoever wrote it.

    Raises:
        OSError, ValueError: there is none, or it is damaged.
    """
    return json.loads((directory / _MANIFEST).read_text("utf-8"))


def load_variables(directory: Path) -> dict[str, Tree]:
    """Load the variables in a converted folder, as NumPy arrays of the dtypes that were saved."""
    with needs_extra("Loading a converted checkpoint", "convert"):
        from orbax.checkpoint import v1 as ocp
    return ocp.load(str(directory.absolute() / _VARIABLES))


def save_variables(directory: Path, variables: Mapping[str, Tree]) -> None:
    """Save variables in a folder."""
    with needs_extra("Saving a converted checkpoint", "convert"):
        from orbax.checkpoint import v1 as ocp
    ocp.save(str(directory.absolute() / _VARIABLES), dict(variables))


def save_manifest(directory: Path, manifest: Manifest | Mapping[str, Json]) -> None:
    """Write the manifest of a folder."""
    content = dataclasses.asdict(manifest) if isinstance(manifest, Manifest) else dict(manifest)
    text = json.dumps(content, indent=2, allow_nan=False)
    (directory / _MANIFEST).write_text(text + "\n", "utf-8")

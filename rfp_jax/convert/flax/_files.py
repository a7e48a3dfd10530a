"""A PyTorch checkpoint file to a folder that Flax can use."""

from importlib.metadata import version
from pathlib import Path

import jax

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.files import new_folder
from rfp_jax.convert.flax._mapping import get_architecture, read_size, recognize, to_flax
from rfp_jax.convert.flax._store import (
    Manifest,
    load_variables,
    save_manifest,
    save_variables,
)


def convert_file(
    checkpoint: str | Path,
    directory: str | Path,
    arch: str | None = None,
    *,
    state_dict: str | None = None,
    check: str | Path | None = None,
) -> Manifest:
    """Convert a PyTorch checkpoint file to a folder with Flax variables and a manifest.

    The variables are saved, loaded again and checked: PyTorch and Flax compute the same random
    batch, and the folder appears only if their outputs agree to 1e-4 relative.

    Args:
        checkpoint: the file, as `read_checkpoint` takes it.
        directory: the folder to write; it must not exist.
        arch: as of `to_flax`; None recognizes it from the keys.
        state_dict: as of `read_checkpoint`: the entry to take where there are several.
        check: an `.npz` of inputs and outputs of your own network, to compare with as well:
            `np.savez(file, input=x.numpy(), output=model(x).numpy())`. Inputs are
            [batch, channels, height, width] in the order of the network's arguments.

    Returns:
        The manifest, as written.

    Raises:
        FileExistsError: if `directory` exists.
        CheckpointError: if the file cannot be read, or holds more than tensors.
        UnknownArchitectureError: if the architecture is not known.
        StateDictError: if the arrays do not fit the architecture.
        SelfCheckError: if PyTorch and Flax disagree, or Flax and the outputs in `check`.
        ModuleNotFoundError: if the `convert` extra is not installed.

    Examples:
        >>> import tempfile, torch
        >>> from rfp_jax.convert.flax import convert_file, load
        >>> from rfp_jax.convert.flax._torch_models import SmallNet
        >>> state_dict = SmallNet(channels=(1, 1), classes=10, positions=60).state_dict()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(state_dict, f"{folder}/smallnet.pth")
        ...     manifest = convert_file(f"{folder}/smallnet.pth", f"{folder}/smallnet")
        ...     model, variables, _ = load(f"{folder}/smallnet")
        >>> manifest.architecture, manifest.input_size
        ('smallnet', [28, 14])
    """
    with needs_extra("Converting a checkpoint", "convert"):
        from rfp_jax.convert.flax._check import TOLERANCE, compare_with_saved, self_check
        from rfp_jax.convert.flax._checkpoint import read_checkpoint

    with new_folder(Path(directory)) as folder:
        content = read_checkpoint(checkpoint, state_dict)
        arch = recognize(content.state_dict) if arch is None else arch
        save_variables(folder, to_flax(arch, content.state_dict))
        variables = load_variables(folder)
        found = self_check(arch, content.state_dict, variables)
        size = read_size(arch, content.state_dict)
        own = None
        if check is not None:
            own = compare_with_saved(
                Path(check), arch, size.classes, variables, tolerance=TOLERANCE
            )
        architecture = get_architecture(arch)
        height, width = architecture.input_shapes(size, batch=1)[0][1:3]
        manifest = Manifest(
            architecture=arch,
            inputs=sum(size.channels),
            channels=list(size.channels),
            classes=size.classes,
            input_size=[height, width] if architecture.flatten else None,
            dtypes=sorted({str(leaf.dtype) for leaf in jax.tree.leaves(variables)}),
            source=Path(checkpoint).name,
            source_sha256=content.sha256,
            state_dict=content.part,
            epoch=content.epoch,
            best_prec=content.best_prec,
            num_batches_tracked=content.num_batches_tracked,
            largest_difference=found.largest_difference,
            relative_difference=found.relative_difference,
            own_outputs=None
            if own is None or check is None
            else {
                "file": Path(check).name,
                "largest_difference": own.largest_difference,
                "relative_difference": own.relative_difference,
            },
            versions={name: version(name) for name in ("flax", "jax", "orbax-checkpoint", "torch")},
        )
        save_manifest(folder, manifest)
    return manifest

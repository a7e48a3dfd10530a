"""Checkpoints of a training, in Orbax's format: a folder with one checkpoint, the latest."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
from orbax.checkpoint import v1 as ocp

from experiments.training import Epoch


class CheckpointError(ValueError):
    """There is no checkpoint, or it is of another network."""


class Saved(NamedTuple):
    """The contents of a checkpoint.

    Attributes:
        epoch: the state of the training.
        history: metrics of every epoch so far.
    """

    epoch: Epoch
    history: list[dict[str, float]]


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        checkpointer: Orbax's, open.
    """

    def __init__(self, checkpointer: ocp.training.Checkpointer):
        self._checkpointer = checkpointer

    def save(self, epoch: Epoch, history: list[dict[str, float]]) -> None:
        """Save the state after an epoch; it takes the place of the one before.

        Args:
            epoch: the state.
            history: metrics of every epoch so far.
        """
        state = {"variables": epoch.variables, "optimizer": jax.tree.leaves(epoch.optimizer)}
        about = {"history": history, "loss": epoch.loss}
        # As NumPy arrays, which load on any device.
        self._checkpointer.save(epoch.number, jax.device_get(state), custom_metadata=about)

    def latest(self, like: Epoch) -> Saved | None:
        """Load the latest checkpoint.

        Args:
            like: a state of the same network and optimizer, whose arrays may be abstract.

        Returns:
            What it holds, or None if there is none.

        Raises:
            CheckpointError: if it is of another network or optimizer; names what differs.
        """
        found = self._checkpointer.latest
        if found is None:
            return None
        state: Any = self._checkpointer.load(found)
        about: Any = self._checkpointer.metadata(found).custom_metadata
        leaves, structure = jax.tree.flatten(like.optimizer)
        wanted = {"variables": like.variables, "optimizer": leaves}
        if differing := _differences(state, wanted):
            raise CheckpointError(
                "\n".join(["the checkpoint is of another network or optimizer:", *differing])
            )
        optimizer = jax.tree.unflatten(structure, state["optimizer"])
        epoch = Epoch(found.step, state["variables"], optimizer, about["loss"])
        return Saved(epoch, about["history"])


@contextmanager
def opened(folder: Path) -> Iterator[Checkpoints]:
    """Open a folder of checkpoints.

    Args:
        folder: the folder; made if missing.

    Yields:
        Its checkpoints.
    """
    keep: Any = ocp.training.preservation_policies.LatestN(1)  # Orbax types it too narrowly
    with ocp.training.Checkpointer(
        str(folder.absolute()),
        preservation_policy=keep,
        cleanup_tmp_directories=True,
    ) as checkpointer:
        yield Checkpoints(checkpointer)


def _differences(there: Any, wanted: Any) -> list[str]:
    """Every array of another shape or dtype, or that only one of two trees has."""
    old, new = (
        {
            jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{[*leaf.shape]}"
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }
        for tree in (there, wanted)
    )
    return [
        f"  {name}: {old.get(name, 'nothing')} in the checkpoint, {new.get(name, 'nothing')} here"
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    ]

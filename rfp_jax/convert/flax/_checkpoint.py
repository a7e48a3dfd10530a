"""Reading checkpoint files, which may come from anywhere and are not trusted."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from rfp_jax.convert.flax._errors import CheckpointError
from rfp_jax.convert.flax._torch_file import Content, check_extent, load_torch

STATE_DICTS = (
    "model_state_dict",
    "state_dict",
    "state_dict_ema",
    "model",
    "model_ema",
    "net",
    "ema",
)
"""Keys under which training scripts keep their state dicts."""

_INDEX = ".index.json"  # of a checkpoint in several files, as Hugging Face writes it


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint file.

    Attributes:
        state_dict: PyTorch key -> tensor, as the file has them.
        sha256: SHA-256 of the file, in hexadecimal; of several files one after another, the index
            first and the others by name.
        part: the entry of the file that the state dict was taken from; None if it is the file.
        epoch: the epoch that the file names, or None.
        best_prec: the best validation score that the file names, or None.
        num_batches_tracked: number of batches that the network was trained on, or None.
    """

    state_dict: Mapping[str, torch.Tensor]
    sha256: str
    part: str | None = None
    epoch: int | None = None
    best_prec: float | None = None
    num_batches_tracked: int | None = None


def read_checkpoint(path: str | Path, state_dict: str | None = None) -> Checkpoint:
    """Read a checkpoint without running any code that it may carry.

    The file is one of

    - PyTorch's (`.pth`, `.pt`): a state dict, or a training script's dict with one under
      `model_state_dict`, `state_dict`, `state_dict_ema`, `model`, `model_ema`, `net` or `ema`;
    - `.safetensors`;
    - `.index.json`, whose `weight_map` names the file of each key, in the same folder.

    Args:
        path: the file.
        state_dict: the entry that holds the state dict. Needed where several do.

    Returns:
        Its state dict, on the CPU, and what it says about its training.

    Raises:
        CheckpointError: if the file is missing, damaged, cut short, no checkpoint, holds anything
            but tensors, numbers, text and containers of them, or holds several state dicts and
            none is named; it lists them.

    Examples:
        >>> import tempfile, torch
        >>> from rfp_jax.convert.flax import read_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"epoch": 7, "model_state_dict": {"w": torch.ones(2)}}, f"{folder}/a")
        ...     checkpoint = read_checkpoint(f"{folder}/a")
        >>> checkpoint.epoch, checkpoint.part, checkpoint.state_dict["w"]
        (7, 'model_state_dict', tensor([1., 1.]))
    """
    path = Path(path)
    digest = hashlib.sha256()
    try:
        content = _read_shards(path, digest) if path.name.endswith(_INDEX) else _read(path, digest)
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or path} cannot be read: {error.strerror or error}"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds {type(content).__name__}: expected a dict of tensors")
    part = _choose(path, content, state_dict)
    tensors = _tensors(path, content, part)
    if not path.name.endswith(_INDEX):
        check_extent(path, path.stat().st_size, tensors)
    epoch = _number(content.get("epoch"))
    batches = [
        int(count)
        for key, tensor in tensors.items()
        if key.endswith("num_batches_tracked") and (count := _number(tensor)) is not None
    ]
    return Checkpoint(
        tensors,
        digest.hexdigest(),
        part=part,
        epoch=None if epoch is None else int(epoch),
        best_prec=_number(content.get("best_prec")),
        num_batches_tracked=max(batches, default=None),
    )


def _read(path: Path, digest: hashlib._Hash) -> Content:
    """Content of one file."""
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
        if path.suffix != ".safetensors":
            return load_torch(path, file)
    try:
        with safe_open(path, framework="pt") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or a damaged or half downloaded one: {error}"
        ) from error


def _read_shards(index: Path, digest: hashlib._Hash) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint in several files."""
    text = index.read_bytes()
    digest.update(text)
    try:
        places = json.loads(text)["weight_map"]
        names = sorted(set(places.values()))
        wrong = [name for name in names if Path(name).name != name or name.endswith(_INDEX)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{index} is not an index of a checkpoint in several files: expected "
            f'{{"weight_map": {{key: file}}}} ({type(error).__name__}: {error})'
        ) from error
    if wrong:
        raise CheckpointError(f"{index} names {wrong[0]!r}: expected files beside it")
    tensors: dict[str, torch.Tensor] = {}
    for name in names:
        shard = index.with_name(name)
        found = _tensors(shard, _read(shard, digest), None)
        check_extent(shard, shard.stat().st_size, found)
        wanted = {key for key, place in places.items() if place == name}
        if missing := sorted(wanted - found.keys()):
            raise CheckpointError(f"{shard} lacks {', '.join(missing)}, which {index} places there")
        tensors |= {key: found[key] for key in sorted(wanted)}
    return tensors


def _choose(path: Path, content: Mapping[str, Content], wanted: str | None) -> str | None:
    """Name of the entry with the state dict; None if the content is one itself."""
    held = {
        str(name): value
        for name, value in content.items()
        if isinstance(value, Mapping) and value and all(map(_is_dense, value.values()))
    }
    if wanted is not None:
        if wanted not in held:
            there = ", ".join(held) or "there is none"
            raise CheckpointError(f"{path} has no state dict {wanted!r}; those it has: {there}")
        return wanted
    known = [name for name in STATE_DICTS if name in held]
    if len(known) > 1:
        listed = ", ".join(f"{name!r} ({len(held[name])} tensors)" for name in known)
        raise CheckpointError(
            f"{path} holds several state dicts: {listed}. Say which to take: --state-dict "
            f"{known[0]} for the command, state_dict={known[0]!r} in Python"
        )
    if known:
        return known[0]
    return next((name for name in STATE_DICTS if name in content), None)


def _tensors(path: Path, content: Content, part: str | None) -> dict[str, torch.Tensor]:
    """The state dict in what a file holds."""
    state_dict = content if part is None else content[part]
    where = "it" if part is None else f"its {part!r}"
    if not isinstance(state_dict, Mapping) or not state_dict:
        raise CheckpointError(f"{path} has no state dict: {where} is empty or not a dict")
    wrong = [str(key) for key, value in state_dict.items() if not _is_dense(value)]
    if wrong:
        raise CheckpointError(
            f"{path} has no state dict: {where} holds other things than dense tensors under "
            f"{', '.join(wrong)}. Expected key -> tensor, or a dict with that under "
            f"{', '.join(map(repr, STATE_DICTS[:-1]))} or {STATE_DICTS[-1]!r}."
        )
    return {str(key): value for key, value in state_dict.items()}


def _is_dense(value: object) -> bool:
    """Tell whether a value is a tensor that NumPy can hold."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and not value.is_quantized
        and value.device.type == "cpu"
    )


def _number(value: object) -> float | int | None:
    """A finite number, of a tensor or as it is, or None."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    return value if isinstance(value, int | float) and math.isfinite(value) else None

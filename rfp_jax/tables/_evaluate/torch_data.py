"""Data of PyTorch: data sets and loaders, tuples and tensors, as mappings of names to arrays.

PyTorch is not imported here: who has tensors has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import jax.numpy as jnp
import numpy as np

from rfp_jax._util.trees import Given


@dataclass(frozen=True)
class NamedSamples:
    """A data source whose samples are mappings of names to NumPy arrays.

    Attributes:
        data: random access to samples: mappings, or tuples where their parts are named.
        fields: names of the parts of a tuple.
    """

    data: Given
    fields: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[Given, Given]:
        """Return one sample.

        Raises:
            TypeError: it is neither a mapping nor a tuple whose parts are named.
            ValueError: it has another number of parts than names.
        """
        raw = self.data[index]
        if isinstance(raw, tuple | list) and self.fields is not None:
            if len(raw) != len(self.fields):
                raise ValueError(
                    f"the sample has {len(raw)} parts, but {len(self.fields)} fields are named: "
                    f"{', '.join(self.fields)}"
                )
            raw = dict(zip(self.fields, raw, strict=True))
        if not isinstance(raw, Mapping):
            remedy = (
                f'; name its {len(raw)} parts, columns=("optical", "sar", "label") for instance'
                if isinstance(raw, tuple | list)
                else ""
            )
            raise TypeError(
                f"a sample must be a mapping of names to arrays, got {type(raw).__name__}{remedy}"
            )
        return {key: as_numpy(value) for key, value in raw.items()}


def named_samples(data: Given, fields: Sequence[str] | None) -> NamedSamples:
    """Return the samples of a data source, of PyTorch too, by the names of their parts.

    Args:
        data: random access to samples; a `torch.utils.data.DataLoader` stands for its data set,
            of which `evaluate` makes batches of its own.
        fields: names of the parts of a sample that is a tuple.

    Raises:
        TypeError: the data have no random access: a generator, an iterable data set.
        ValueError: a loader does more than to batch: its sampler leaves samples out or repeats
            them, or it puts samples together in its own way.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.utils.data.DataLoader):
        data = _of_loader(data, torch)
    iterable = torch is not None and isinstance(data, torch.utils.data.IterableDataset)
    if iterable or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise TypeError(
            f"{type(data).__name__} has no random access, which resuming needs: give a data set "
            "with __len__ and __getitem__, for instance list(data)"
        )
    return NamedSamples(data, None if fields is None else tuple(fields))


def _of_loader(loader: Given, torch: ModuleType) -> Given:
    data = loader.dataset
    if isinstance(data, torch.utils.data.IterableDataset):
        return data
    samplers = (torch.utils.data.SequentialSampler, torch.utils.data.RandomSampler)
    whole = isinstance(loader.sampler, samplers) and len(loader.sampler) == len(data)
    if not whole or getattr(loader.sampler, "replacement", False):
        raise ValueError(
            f"the loader's {type(loader.sampler).__name__} leaves samples out or repeats them: "
            "give the data set itself, torch.utils.data.Subset(dataset, indices) for a part of it"
        )
    if loader.collate_fn is not torch.utils.data.default_collate:
        name = getattr(loader.collate_fn, "__name__", type(loader.collate_fn).__name__)
        raise ValueError(
            f"the loader puts samples together with {name}: let the data set return them as the "
            "model takes them, and give the data set"
        )
    return data


def as_numpy(value: Given) -> Given:
    """Return a tensor of PyTorch as a NumPy array, bfloat16 too; other values as they are."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(jnp.bfloat16)
    return np.asarray(value)

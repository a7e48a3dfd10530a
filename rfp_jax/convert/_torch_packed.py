"""Packed sequences in an export, dense.

PyTorch's own are as long as the lengths in them say, which no program can be. Here every sequence
has all steps, and how many sequences are running says which of them count.

    pack     [batch, time, ...] -> [time batch, ...], how many sequences are running at each step
    layers   one operation `rfp_jax::packed_lstm`, a scan that stops where a sequence ends
    pad      [time batch, ...] -> [batch, time, ...], zeros behind each sequence's end
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rfp_jax._util.trees import Given, Tree

_VARIABLE: Any = getattr(torch._C, "_VariableFunctions")  # noqa: B009 (its types do not name it)
"""Any: where nn.LSTM and its kind find what they call; PyTorch declares no type for it."""
_LAYERS: dict[Callable[..., Tree], str] = {
    _VARIABLE.lstm: "lstm",
    _VARIABLE.gru: "gru",
    _VARIABLE.rnn_tanh: "rnn_tanh",
    _VARIABLE.rnn_relu: "rnn_relu",
}
_OPTIONS = "Tensor[] params, bool has_biases, int num_layers, bool bidirectional"
_LIBRARY = torch.library.Library("rfp_jax", "DEF")


class Packed(TorchFunctionMode):
    """Within this block, packed sequences are dense."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: dict[int, tuple[Tensor, int]] = {}

    def batch_of(self, sizes: object) -> int | None:
        """Return how many sequences are packed with this tensor of running ones, if any are."""
        found = self.batches.get(id(sizes))
        return None if found is None else found[1]

    def __torch_function__(
        self,
        func: Callable[..., Tree],
        types: Sequence[type],
        args: tuple[Given, ...] = (),
        kwargs: Mapping[str, Given] | None = None,
    ) -> Tree:
        """Replace what makes, reads or measures a packed sequence."""
        kwargs = kwargs or {}
        if func is _VARIABLE._pack_padded_sequence:
            return self.pack(*args, **kwargs)
        batch = self.batch_of(
            args[1] if func in _LAYERS or func is _PAD else next(iter(args), None)
        )
        if batch is None:
            return func(*args, **kwargs)
        if func is Tensor.__getitem__ and args[1] == 0:  # the first step, at which all are running
            return batch
        if func is _PAD:
            return pad(batch, *args, **kwargs)
        if func in _LAYERS:
            return run_layers(_LAYERS[func], *args)
        return func(*args, **kwargs)

    def pack(self, x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        """Return all steps of all sequences, and how many sequences run at each step."""
        x = x.transpose(0, 1) if batch_first else x
        times = torch.arange(x.shape[0])
        sizes = (times[:, None] < lengths[None]).sum(1)
        self.batches[id(sizes)] = sizes, x.shape[1]
        return x.flatten(0, 1), sizes


_PAD = _VARIABLE._pad_packed_sequence


def running(sizes: Tensor, batch: int) -> Tensor:
    """[time, batch]: whether a sequence, of which the longest come first, is running."""
    return torch.arange(batch)[None] < sizes[:, None]


def pad(  # noqa: PLR0917  (PyTorch's order)
    batch: int, data: Tensor, sizes: Tensor, batch_first: bool, value: float, total: int
) -> tuple[Tensor, Tensor]:
    """Return the sequences side by side, and their lengths."""
    runs = running(sizes, batch)
    x = data.unflatten(0, (sizes.shape[0], batch))
    x = torch.where(runs.reshape(*runs.shape, *[1] * (x.ndim - 2)), x, value)
    if total > x.shape[0]:
        behind = x.new_full((total - x.shape[0], *x.shape[1:]), value)
        x = torch.cat([x, behind])
    return (x.transpose(0, 1) if batch_first else x), runs.sum(0)


def run_layers(  # noqa: PLR0917  (PyTorch's order)
    name: str,
    data: Tensor,
    sizes: Tensor,
    state: Tensor | Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[Tensor, ...]:
    """Call the operation that stands for layers on packed sequences."""
    states = [state] if isinstance(state, Tensor) else [*state]
    operation = getattr(torch.ops.rfp_jax, f"packed_{name}")
    return operation(data, sizes, states, params, has_biases, num_layers, bidirectional)


def _define(name: str, states: int) -> None:
    """Register an operation: its shapes, and what it computes by PyTorch's own."""
    results = ", ".join(["Tensor"] * (1 + states))
    operation = f"packed_{name}"
    _LIBRARY.define(
        f"{operation}(Tensor data, Tensor batch_sizes, Tensor[] states, {_OPTIONS}) -> ({results})"
    )

    def compute(  # noqa: PLR0917  (the order of the definition above)
        data: Tensor,
        sizes: Tensor,
        states: Sequence[Tensor],
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        bidirectional: bool,
    ) -> tuple[Tensor, ...]:
        keep = running(sizes, states[0].shape[1]).flatten()
        own = list(states) if name == "lstm" else states[0]
        layers = getattr(torch.ops.aten, name).data
        y, *last = layers(
            data[keep], sizes[sizes > 0], own, params, has_biases, num_layers, 0.0, False,
            bidirectional,
        )  # fmt: skip
        dense = y.new_zeros(len(keep), y.shape[1])
        dense[keep] = y
        return dense, *last

    def shapes(
        data: Tensor, sizes: Tensor, states: Sequence[Tensor], *options: object
    ) -> tuple[Tensor, ...]:
        width = states[0].shape[2] * (2 if options[-1] else 1)
        return data.new_empty(data.shape[0], width), *map(torch.empty_like, states)

    _LIBRARY.impl(operation, compute, "CompositeExplicitAutograd")
    torch.library.register_fake(f"rfp_jax::{operation}", shapes, lib=_LIBRARY)


for _name in _LAYERS.values():
    _define(_name, 2 if _name == "lstm" else 1)

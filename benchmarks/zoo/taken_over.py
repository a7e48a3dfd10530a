"""PyTorch modules as entries of the zoo: taken over by `rfp_jax.convert.from_torch` as they are."""

from __future__ import annotations

import copy
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from benchmarks.zoo import frozen
from benchmarks.zoo.entry import Entry, draw, randomize
from rfp_jax._util.extras import needs_extra
from rfp_jax.convert import from_torch, to_torch

CLASSES = 5


class Joined(nn.Module):
    """A network of one image, its channels from two sources; its first output of a structure."""

    def __init__(self, network: nn.Module, key: str | int | None = None) -> None:
        super().__init__()
        self.network, self.key = network, key

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        output = self.network(torch.cat([optical, sar], 1))
        return output if self.key is None else output[self.key]


class Behind(nn.Module):
    """A network as a function of what its submodules give; its other inputs stand still.

    Args:
        network: of keyword inputs; returns a structure.
        places: the submodules whose outputs are the sources.
        inputs: the network's inputs by name.
        pick: takes the output from the structure, of tensors as of arrays.
    """

    def __init__(
        self,
        network: nn.Module,
        places: Sequence[str],
        inputs: Mapping[str, Tensor],
        pick: Callable[[Any], Any],
    ) -> None:
        super().__init__()
        self.network, self.places, self.inputs, self.pick = network, places, inputs, pick

    def forward(self, *sources: Tensor) -> Tensor:
        hooks = [
            self.network.get_submodule(place).register_forward_hook(lambda *_, s=source: s)
            for place, source in zip(self.places, sources, strict=True)
        ]
        dtype = sources[0].dtype
        try:
            return self.pick(self.network(**{k: _cast(x, dtype) for k, x in self.inputs.items()}))
        finally:
            for hook in hooks:
                hook.remove()


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if x.is_floating_point() else x


class Precision(TorchDispatchMode):
    """Sees in which dtypes a module computes: `x.float()` stays what it says in float64, too."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and note the dtypes of its results."""
        del types
        results = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, lambda x: self.seen.add(x.dtype), results)
        return results

    def least(self, *others: torch.dtype) -> str:
        """Return the name of the least precise floating-point dtype."""
        floating = [dtype for dtype in (*self.seen, *others) if dtype.is_floating_point]
        return str(max(floating, key=lambda dtype: torch.finfo(dtype).eps)).removeprefix("torch.")


class TorchOriginal:
    """A PyTorch module as `benchmarks.zoo.original.Original`.

    Args:
        module: a function of the sources alone, in float32 and in eval mode.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def output(self, sources: Sequence[np.ndarray]) -> tuple[np.ndarray, str]:
        """Return the output, computed in the sources' dtype but for parts that are cast."""
        module, tensors = self._alike(sources)
        with torch.no_grad(), Precision() as precision:
            output = module(*tensors)
        return output.numpy(), precision.least(output.dtype)

    def heatmaps(self, sources: Sequence[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
        """Return gradient x input of the frozen module.

        Raises:
            NoOracleError: it cannot be frozen.
        """
        module, tensors = self._alike(sources)
        return frozen.heatmaps(module, tensors, weights)

    def forward(self, sources: Sequence[np.ndarray]) -> Callable[[], object]:
        """Return a forward pass."""
        module, tensors = self._alike(sources)

        @torch.no_grad()
        def run() -> object:
            return module(*tensors)

        return run

    def _alike(self, sources: Sequence[np.ndarray]) -> tuple[nn.Module, list[Tensor]]:
        tensors = [torch.from_numpy(np.array(source)) for source in sources]
        return copy.deepcopy(self.module).to(tensors[0].dtype), tensors


def taken_over(
    make: Callable[[], nn.Module], shapes: Sequence[tuple[int, ...]], seed: int
) -> Entry:
    """A module of sources of these shapes, with random statistics."""
    torch.manual_seed(seed)
    module = make().eval()
    sources = draw(seed + 1, *shapes)
    with torch.no_grad():  # gives lazy layers their shapes
        module(*(torch.from_numpy(np.array(source)) for source in sources))
    _, params = from_torch(module)
    to_torch(randomize(params, seed), module)
    fun, params = from_torch(module)
    argnums = tuple(range(1, 1 + len(sources)))
    return Entry(fun, (params, *sources), argnums, TorchOriginal(module))


def behind(
    make: Callable[[], nn.Module],
    places: Sequence[str],
    inputs: Callable[[], Mapping[str, Any]],
    pick: Callable[[Any], Any],
    seed: int,
) -> Entry:
    """A module whose sources are what submodules give: the embedding of token ids."""
    torch.manual_seed(seed)
    module, given = make().eval(), inputs()
    _, params = from_torch(module)
    to_torch(randomize(params, seed), module)
    fun, params = from_torch(module, sources=list(places))
    sources = fun.source_values(params, **given)

    def output(params: Any, *sources: jax.Array) -> jax.Array:
        return pick(fun(params, *sources, **given))

    tensors = {name: torch.from_numpy(np.array(value)) for name, value in given.items()}
    argnums = tuple(range(1, 1 + len(sources)))
    original = TorchOriginal(Behind(module, places, tensors, pick).eval())
    return Entry(output, (params, *sources), argnums, original)


@functools.cache
def torchvision_operations() -> torch.library.Library | None:
    """Define what a torchvision built for another PyTorch misses when it is imported.

    Boxes are suppressed by it in detection only, of which there is none here. The definition lasts
    as long as what is returned, hence the cache.
    """
    try:
        with needs_extra("This model", "zoo-torch"):
            importlib.import_module("torchvision")
    except RuntimeError:  # operator torchvision::nms does not exist
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None


def library(module: str, name: str, *args: Any, **options: Any) -> Any:
    """Return what a library makes by a name."""
    torchvision_operations()  # all of them import torchvision
    with needs_extra(f"The model {name}", "zoo-torch"):
        return getattr(importlib.import_module(module), name)(*args, **options)

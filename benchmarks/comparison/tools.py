"""The tools, each as a function that explains all outputs of a module of several sources.

Rules are those of LRP-0, so that one number is right: ε is 1e-12 where a tool has one. Modules stay
as they are; a tool that changes them gets a copy, and LXT's changes of torch's classes are undone.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import torch
from torch import Tensor, nn

import rfp_jax
from benchmarks.zoo import frozen
from benchmarks.zoo.taken_over import torchvision_operations
from rfp_jax._util.extras import needs_extra
from rfp_jax.convert import from_torch

EPSILON = 1e-12

Heatmaps = list[np.ndarray]
"""For each source [output, batch, ...]."""
Explain = Callable[[], Heatmaps]
Tool = Callable[[nn.Module, Sequence[Tensor]], Explain]

LINEAR = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.AdaptiveAvgPool2d)
"""Modules that get the ε rule, where a tool asks for each."""


class RefusedError(Exception):
    """A tool says that it cannot explain a network."""


def oracle(module: nn.Module, sources: Sequence[Tensor]) -> Heatmaps:
    """Gradient x input of the PyTorch program, its non-linear parts frozen, by PyTorch alone."""
    with torch.no_grad():
        shape = module(*sources).shape
    found = []
    for k in range(shape[-1]):
        weights = np.zeros(shape, sources[0].numpy().dtype)
        weights[..., k] = 1
        found.append(frozen.heatmaps(module, sources, weights))
    return [np.stack(heats) for heats in zip(*found, strict=True)]


def relevance(module: nn.Module, sources: Sequence[Tensor]) -> Explain:
    """`rfp_jax.relevance`: forward, a number for each source and output; [output, batch]."""
    fun, params = from_torch(module)
    argnums = tuple(range(1, 1 + len(sources)))
    arrays = [source.numpy() for source in sources]
    compiled = rfp_jax.jit(rfp_jax.relevance(fun, argnums=argnums))
    return lambda: [np.asarray(found).T for found in compiled(params, *arrays).sources]


def heatmap(module: nn.Module, sources: Sequence[Tensor], rules: Any = "lrp0") -> Explain:
    """`rfp_jax.heatmap`: backward, every element for every output."""
    fun, params = from_torch(module)
    argnums = tuple(range(1, 1 + len(sources)))
    arrays = [source.numpy() for source in sources]
    compiled = rfp_jax.jit(rfp_jax.heatmap(fun, argnums=argnums, outputs="all", rules=rules))
    return lambda: [np.asarray(heat) for heat in jax.block_until_ready(compiled(params, *arrays))]


def captum(module: nn.Module, sources: Sequence[Tensor]) -> Explain:
    """`captum.attr.LRP` with the ε rule, output by output."""
    with needs_extra("Captum", "comparison"):
        from captum.attr import LRP
        from captum.attr._utils.lrp_rules import EpsilonRule

    module = copy.deepcopy(module)
    linear = (*LINEAR, nn.MaxPool2d)
    leaves: list[Any] = [leaf for leaf in module.modules() if isinstance(leaf, linear)]
    for leaf in leaves:
        leaf.rule = EpsilonRule(EPSILON)
    method = LRP(module)
    with torch.no_grad():
        count = module(*sources).shape[-1]

    def explain() -> Heatmaps:
        given = tuple(source.clone().requires_grad_() for source in sources)
        found = []
        for k in range(count):
            with _refusals(TypeError, RuntimeError):
                heats = method.attribute(given, target=k)
            found.append([heat.detach().numpy() for heat in heats])
        return [np.stack(heats) for heats in zip(*found, strict=True)]

    return _quietly(explain)


def zennit(
    module: nn.Module,
    sources: Sequence[Tensor],
    composite: Callable[[nn.Module], Any] | None = None,
) -> Explain:
    """Zennit's hooks under a composite, LRP-0 if none is given; one forward pass.

    Args:
        module: the network.
        sources: its inputs.
        composite: makes a composite of zennit's for the module.
    """
    torchvision_operations()  # zennit imports torchvision
    with needs_extra("zennit", "comparison"):
        from zennit import composites, layer, rules, types  # pyright: ignore[reportMissingImports]

    def lrp0(_: nn.Module) -> Any:
        layers = [
            (types.Activation, rules.Pass()),
            (types.AvgPool, rules.Norm(EPSILON)),
            (types.BatchNorm, rules.Norm(EPSILON)),
            (types.Linear, rules.Epsilon(EPSILON)),
            (layer.Sum, rules.Norm(EPSILON)),
        ]
        return composites.LayerMapComposite(layers)

    module = copy.deepcopy(module)
    made = (composite or lrp0)(module)

    def explain() -> Heatmaps:
        inputs = _leaves(sources)
        with made.context(module) as hooked, _refusals(RuntimeError):
            output = hooked(*inputs)
            return _each_output(lambda: output, inputs)

    return _quietly(explain)


def lxt_explicit(module: nn.Module, sources: Sequence[Tensor]) -> Explain:
    """LXT's rules around modules (`lxt.explicit`), for networks of modules; a pass per output."""
    with needs_extra("LXT", "comparison"):
        from lxt.explicit.core import Composite  # pyright: ignore[reportMissingImports]
        from lxt.explicit.rules import EpsilonRule, IdentityRule  # pyright: ignore[reportMissingImports]

    rules = {**dict.fromkeys(LINEAR, EpsilonRule), nn.ReLU: IdentityRule}
    module = copy.deepcopy(module)
    Composite(rules).register(module)
    wrapped: list[Any] = [m for m in module.modules() if isinstance(m, EpsilonRule)]
    for layer in wrapped:
        layer.epsilon = EPSILON

    def explain() -> Heatmaps:
        inputs = _leaves(sources)
        with _refusals(AttributeError):
            return _each_output(lambda: module(*inputs), inputs)

    return _quietly(explain)


def lxt_efficient(module: nn.Module, sources: Sequence[Tensor]) -> Explain:
    """LXT's gradient x input with changed classes (`lxt.efficient`), CP-LRP for attention."""
    with needs_extra("LXT", "comparison"):
        from lxt.efficient import patches  # pyright: ignore[reportMissingImports]

    changed = {
        nn.LayerNorm: patches.layer_norm_forward,
        nn.GELU: patches.non_linear_forward,
        nn.MultiheadAttention: patches.cp_multi_head_attention_forward,
    }
    module = copy.deepcopy(module).requires_grad_(False)

    def explain() -> Heatmaps:
        with _patched(changed):
            inputs = _leaves(sources)
            output = module(*inputs)
            gradients = _each_output(lambda: output, inputs, of_ones=True)
        pairs = zip(gradients, inputs, strict=True)
        return [gradient * leaf.detach().numpy() for gradient, leaf in pairs]

    return _quietly(explain)


@contextmanager
def _patched(changed: dict[Any, Callable[..., Any]]) -> Iterator[None]:
    """Give classes of torch LXT's `forward`, as `lxt.efficient.patch_method` does; then undo."""
    originals = {cls: cls.forward for cls in changed}
    for cls, forward in changed.items():
        cls.original_forward, cls.forward = cls.forward, forward
    try:
        yield
    finally:
        for cls, forward in originals.items():
            cls.forward = forward
            del cls.original_forward


def _leaves(sources: Sequence[Tensor]) -> list[Tensor]:
    return [source.clone().requires_grad_() for source in sources]


def _each_output(
    forward: Callable[[], Tensor], inputs: Sequence[Tensor], of_ones: bool = False
) -> Heatmaps:
    """One backward pass per output, from the output's own value, or from 1."""
    found: list[Heatmaps] = []
    count = None
    while count is None or len(found) < count:
        output, k = forward(), len(found)
        count = output.shape[-1]
        start = torch.zeros_like(output)
        start[..., k] = 1 if of_ones else output[..., k].detach()
        given = torch.autograd.grad(output, inputs, start, retain_graph=True)
        found.append([gradient.numpy() for gradient in given])
    return [np.stack(heats) for heats in zip(*found, strict=True)]


@contextmanager
def _refusals(*kinds: type[Exception]) -> Iterator[None]:
    """Let a tool's own errors say that it refuses."""
    try:
        yield
    except kinds as error:
        raise RefusedError(str(error)) from error


def _quietly(explain: Explain) -> Explain:
    """Without the warnings that hooks and changed classes give of themselves."""

    def run() -> Heatmaps:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return explain()

    return run


TOOLS: dict[str, Tool] = {
    "rfp_jax, relevance (forward)": relevance,
    "rfp_jax, heatmaps (backward)": heatmap,
    "Captum, LRP": captum,
    "zennit": zennit,
    "LXT, explicit": lxt_explicit,
    "LXT, efficient": lxt_efficient,
}
"""By the names of the table; the first is the unit of time."""

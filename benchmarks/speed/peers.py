"""The peers in PyTorch: its own forward pass, Captum, zennit, and the authors' RFP from a clone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.contestants import Contestant
from benchmarks.speed.workloads import Workload

KNOWN = ("smallnet", "resnet50")
"""The networks that are written out for them."""

EPSILON = 1e-9
"""Captum's stabilizer, small enough for the numbers of LRP-0."""


def channels_first(source: Any) -> np.ndarray:
    """An image batch as PyTorch has it."""
    return np.moveaxis(np.asarray(source), -1, 1).copy()


def captum(work: Workload) -> Iterator[Contestant]:
    """Captum's LRP of one output, and of all outputs one by one.

    Captum needs every ReLU and every sum to be a module, and joined sources to be one tensor.
    """
    if work.arch not in KNOWN:
        return
    import torch
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    from benchmarks.speed.torch_networks import build

    network, join, split = build(work)
    modules: Iterator[Any] = network.modules()
    for module in modules:
        if not list(module.children()) and not isinstance(module, torch.nn.ReLU):
            module.rule = EpsilonRule(EPSILON)
    explain = LRP(network)
    inputs = join([torch.from_numpy(channels_first(x)) for x in work.sources])

    def attribute(target: Any) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own hooks
            given = tuple(x.clone().requires_grad_() for x in inputs)
            heats = split(explain.attribute(given, target=target))
        return np.stack([heat.detach().numpy().sum((1, 2, 3)) for heat in heats])

    with torch.no_grad():
        output = network(*inputs)
    best, count = output.argmax(-1), output.shape[-1]
    yield Contestant("Captum LRP of the arg-max", lambda: attribute(best), "chosen")
    yield Contestant(
        "Captum LRP of all outputs",
        lambda: np.stack([attribute(k) for k in range(count)], -1),
        "sources",
    )


def torch_forward(work: Workload) -> Iterator[Contestant]:
    """The forward pass of an imported network in PyTorch itself."""
    if work.module is None:
        return
    import torch

    inputs = [torch.from_numpy(np.array(x)) for x in work.sources]

    def forward() -> np.ndarray:
        with torch.no_grad():
            return work.module(*inputs).numpy()

    yield Contestant("forward in PyTorch", forward, "output")


def zennit(work: Workload) -> Iterator[Contestant]:
    """Zennit's LRP of all outputs, where it is installed (the extra `comparison`).

    Its hooks scale gradients, so a sum has to be a module that it has a rule for.
    """
    if work.arch not in KNOWN or find_spec("zennit") is None:
        return
    import torch

    from benchmarks.comparison import tools
    from benchmarks.speed.torch_networks import build
    from benchmarks.zoo.taken_over import torchvision_operations

    torchvision_operations()  # zennit imports torchvision
    network, join, split = build(work)
    inputs = join([torch.from_numpy(channels_first(x)) for x in work.sources])
    explain = tools.zennit(_with_sums(network), inputs)

    def every() -> np.ndarray:
        found = []
        for heats in zip(*explain(), strict=True):
            parts = split([torch.from_numpy(heat) for heat in heats])
            found.append(np.stack([part.numpy().sum((1, 2, 3)) for part in parts]))
        return np.stack(found, -1)

    yield Contestant("zennit LRP of all outputs", every, "sources")


def _with_sums(network: Any) -> Any:
    """The network with zennit's sums in the place of Captum's."""
    import torch
    from captum.attr._utils.custom_modules import Addition_Module
    from zennit.layer import Sum  # pyright: ignore[reportMissingImports]

    class Added(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sum = Sum()

        def forward(self, a: Any, b: Any) -> Any:
            return self.sum(torch.stack([a, b], -1))

    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Addition_Module):
                setattr(module, name, Added())
    return network


@contextmanager
def authors(work: Workload, clone: Path) -> Iterator[Contestant]:
    """The authors' PyTorch code, in a process of its own, because it patches torch globally.

    Args:
        work: a workload of SmallNet or ResNet-50.
        clone: a clone of the authors' repository.

    Yields:
        The contestant; its process ends with the context.

    Raises:
        RuntimeError: the process has ended; what it said is on the standard error.
    """
    from benchmarks.speed.torch_networks import state_dict

    with tempfile.TemporaryDirectory() as scratch:
        given, answer = Path(scratch, "given.npz"), Path(scratch, "answer.npy")
        arrays: dict[str, Any] = {
            **{f"source/{i}": channels_first(x) for i, x in enumerate(work.sources)},
            **{f"weight/{key}": value for key, value in state_dict(work).items()},
        }
        np.savez(given, **arrays)
        module = "benchmarks.speed.authors"
        command = [sys.executable, "-m", module, str(clone), work.arch, str(given), str(answer)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            asked, answers = process.stdin, process.stdout
            assert asked
            assert answers

            def run() -> np.ndarray:
                try:
                    asked.write("run\n")
                    asked.flush()
                except BrokenPipeError:
                    pass
                if not answers.readline():
                    raise RuntimeError(f"the authors' code in {clone} failed; its error is above")
                return np.load(answer, mmap_mode="r")

            yield Contestant("authors' RFP in PyTorch", run, "sources")
            asked.close()

"""The worker that runs the authors' RFP: `python -m benchmarks.speed.authors CLONE ARCH IN OUT`.

It answers every line on its standard input with one relevance pass and a line. The first
answer is written to OUT, [source, batch, class]; slot 0 of theirs is the bias.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed import torch_networks


def slots(sources: list[Tensor], *, joined: bool) -> list[Tensor]:
    """Inputs with a slot for the bias and one for each source in front, zero but for its own."""
    count = len(sources)

    def own(i: int, x: Tensor) -> list[Tensor]:
        return [x if slot == i + 1 else torch.zeros_like(x) for slot in range(count + 1)]

    carried = [torch.stack(own(i, x)) for i, x in enumerate(sources)]
    return [torch.cat(carried, dim=2)] if joined else carried


def main(clone: str, arch: str, given: str, answer: str) -> None:
    """Serve until the standard input ends.

    Args:
        clone: a clone of the authors' repository.
        arch: "smallnet" or "resnet50".
        given: an .npz file with weights and sources.
        answer: where to write the relevance, an .npy file.
    """
    arrays = np.load(given)
    weights, sources = (
        {key.removeprefix(head): arrays[key] for key in arrays.files if key.startswith(head)}
        for head in ("weight/", "source/")
    )
    inputs = [sources[key] for key in sorted(sources)]
    model = torch_networks.network(arch, weights, inputs)
    is_small = isinstance(model, torch_networks.SmallNet)
    theirs = torch_networks.SmallNetOfAuthors if is_small else torch_networks.ResNetOfAuthors
    batch = slots([torch.from_numpy(x) for x in inputs], joined=not is_small)

    sys.path.insert(0, str(Path(clone, "code")))
    # Their mapper imports torchvision for its self-test alone.
    sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), torch.no_grad():
        from models.network_mapper import (  # pyright: ignore[reportMissingImports]  (the clone)
            to_relevance_representation,
        )

        network = to_relevance_representation(theirs(model), verbose=0)  # pyright: ignore
        for _ in sys.stdin:
            result = network(*(x.clone() for x in batch))
            if not Path(answer).exists():
                np.save(answer, result[1:].numpy())
            print("done", file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

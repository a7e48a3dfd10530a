"""Saved programs of PyTorch, and a network around another."""

import numpy as np
import torch
from torch import nn

from tests.convert.torch_networks import Fusion, images, randomized

IDS = np.array([[1, 2, 3], [4, 0, 10]])


def saved(folder, module, args, kwargs=None, **options):
    program = torch.export.export(module, args, kwargs or {}, strict=False, **options)
    torch.export.save(program, folder / "network.pt2")
    return folder / "network.pt2"


def fusion_program(folder):
    sources = tuple(map(torch.from_numpy, images(2)))
    batch = torch.export.Dim("batch")
    return saved(folder, randomized(Fusion()), sources, dynamic_shapes=({0: batch}, {0: batch}))


class Around(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.layer, self.inner = nn.Linear(3, 3), inner

    def forward(self, x):
        return self.inner(self.layer(x))

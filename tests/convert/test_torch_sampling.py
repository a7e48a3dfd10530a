"""Modules that sample, listen and project: outputs as PyTorch's, relevance that is conserved."""

import numpy as np
import pytest

import rfp_jax
from rfp_jax.convert import from_torch

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402 - only if there is a PyTorch
from torch.nn import functional  # noqa: E402


class Aligned(nn.Module):
    """A radar image, shifted and turned onto the optical one as the radar image itself says."""

    def __init__(self):
        super().__init__()
        self.place = nn.Linear(2, 6)
        self.head = nn.Linear(3, 4)

    def forward(self, optical, sar):
        theta = self.place(sar.mean((2, 3))).view(-1, 2, 3)
        grid = functional.affine_grid(theta, optical.shape, align_corners=False)
        moved = functional.grid_sample(sar, grid, align_corners=False, padding_mode="border")
        return self.head(torch.cat([optical, moved[:, :1]], 1).mean((2, 3)))


class Series(nn.Module):
    """Two series in LSTMs whose states are projected."""

    def __init__(self):
        super().__init__()
        self.optical = nn.LSTM(3, 6, proj_size=2, batch_first=True, bidirectional=True)
        self.sar = nn.LSTM(2, 5, 2, proj_size=3, batch_first=True, bias=False)
        self.head = nn.Linear(7, 4)

    def forward(self, optical, sar):
        ends = [self.optical(optical)[0][:, -1], self.sar(sar)[0][:, -1]]
        return self.head(torch.cat(ends, -1))


class Sound(nn.Module):
    """Spectra of two microphones, their real and imaginary parts."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(8, dtype=torch.float64))
        self.head = nn.Linear(5, 4)

    def forward(self, left, right):
        spectra = [
            torch.stft(x, 8, hop_length=4, window=self.window, return_complex=True)
            for x in (left, right)
        ]
        parts = [z.real + z.imag for z in spectra]
        return self.head(torch.relu(parts[0] - parts[1]).mean(-1))


CASES = {
    "grids": (Aligned, (2, 2, 5, 6), (2, 2, 4, 4)),
    "projections": (Series, (2, 5, 3), (2, 5, 2)),
    "spectra": (Sound, (2, 20), (2, 20)),
}


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_spectra_are_those_of_pytorch_and_the_audit_passes():
    """The other ones, whose certificates take longer to compile: `make stress`."""
    check("spectra")


def check(name):
    make, *shapes = CASES[name]
    torch.manual_seed(0)
    module = make().double().eval()
    sources = [np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate(shapes)]
    fun, params = from_torch(module)
    with torch.no_grad():
        expected = module(*map(torch.from_numpy, sources)).numpy()
    np.testing.assert_allclose(fun(params, *sources), expected, rtol=1e-12, atol=1e-13)
    report = rfp_jax.audit(fun, argnums=(1, 2))(params, *sources)
    assert report.passed, report.verdict

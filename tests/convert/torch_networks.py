"""Small networks as people write them, and an oracle of their relevance that is PyTorch's own."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Fusion(nn.Module):
    """Two branches, joined; operations in place and as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.optical = nn.Sequential(
            nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2)
        )
        self.sar = nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=False)
        self.mix = nn.Conv2d(12, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        x = self.optical(optical)
        y = self.sar(sar)
        y += 0.1
        y[:, :2] *= 2
        y = F.relu_(y)
        x = torch.cat([x, y], 1)
        x = F.max_pool2d(F.relu(self.mix(x)), 2)
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        return self.head(x.mean((-2, -1)))


class Residual(nn.Module):
    """A ResNet in small, with strides, shortcuts and an adaptive pool that does not divide."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(6, 8, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=4, bias=False), nn.BatchNorm2d(8),
        )  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(32, 5)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        x = self.stem(torch.cat((optical, sar), dim=1))
        x = torch.relu(self.block(x) + x)
        return self.head(self.pool(x).flatten(1))


class ConvNext(nn.Module):
    """Depthwise convolutions, layer norm over channels, GELU, layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(6, 8, 2, 2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.LayerNorm(8)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        self.gamma = nn.Parameter(torch.rand(8))
        self.head = nn.Linear(8, 5)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        x = self.stem(torch.cat((optical, sar), 1))
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.gamma * self.down(F.gelu(self.up(y)))
        x = x + y.permute(0, 3, 1, 2)
        return self.head(F.silu(x).mean([2, 3]))


class Attention(nn.Module):
    """Patches of two sources as tokens of one transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.optical, self.sar = nn.Conv2d(4, 8, 4, 4), nn.Conv2d(2, 8, 4, 4)
        self.place = nn.Parameter(torch.randn(1, 8, 8) / 10)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 5)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        patches = [f(x).flatten(2).mT for f, x in ((self.optical, optical), (self.sar, sar))]
        x = torch.cat(patches, 1) + self.place
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*qkv.unbind(0))
        x = x + self.out(y.transpose(1, 2).flatten(-2))
        x = x + self.mlp(self.norm2(x))
        return self.head(x[:, 0])


class Layers(nn.Module):
    """The layers that PyTorch has ready."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.cross = nn.MultiheadAttention(8, 2, batch_first=True)
        self.lstm = nn.LSTM(8, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(8, 4, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        left, right = self.encoder(optical[:, :, 0]), sar[:, :, 0]
        left, _ = self.lstm(left + self.cross(left, right, right)[0])
        right, last = self.gru(right)
        return self.head(torch.cat([left[:, -1], last[0] + right.mean(1)], -1))


@dataclasses.dataclass
class Answer:
    logits: Tensor
    hidden: Tensor
    loss: Tensor | None = None


class Tokens(nn.Module):
    """Token ids, a tied head, buffers of each kind, keywords, a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("scale", torch.full((6,), 2.0))
        self.register_buffer("frequencies", torch.arange(6) / 7, persistent=False)
        self.register_buffer("places", torch.arange(9))
        self.offset = torch.tensor([1.0, 0, 0, 0, 0, 2])  # neither parameter nor buffer
        self.layer = nn.Linear(6, 6)

    def forward(self, ids: Tensor, *, mask: Tensor | None = None, double: bool = False) -> Answer:
        x = self.embedding(ids) * self.scale + self.offset
        x = x + torch.sin(self.places[: ids.shape[1], None] * self.frequencies)
        hidden = torch.relu(self.layer(x))
        if mask is not None:
            hidden = hidden.masked_fill(~mask[..., None], 0.0)
        return Answer(self.head(2 * hidden if double else hidden), hidden)


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in evaluation mode and double precision, its parameters drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        fan = max(1, parameter[0].numel()) if parameter.ndim > 1 else 4
        parameter.data = torch.randn(parameter.shape, generator=generator) / fan**0.5
    for name, buffer in module.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return module.double().eval()


def images(batch: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Two sources, [batch, channels, 8, 8]."""
    rng = np.random.default_rng(batch)
    return rng.standard_normal((batch, 4, 8, 8)), rng.standard_normal((batch, 2, 8, 8))


def _secant(f, x, **kwargs):
    """`f(x)` as a line through `f(0)`, its slope a constant."""
    start = f(torch.zeros_like(x), **kwargs).detach()
    return start + x * ((f(x, **kwargs) - start) / x).detach()


class Frozen(TorchFunctionMode):
    """Within this block PyTorch's non-linear functions are lines whose slopes have no gradient.

    Then gradient x input is the relevance: activation functions by their secant from 0, the weights
    of attention and the scale of layer norm as constants. ReLU and maxima are left alone.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            if func in (F.gelu, F.silu, torch.tanh, torch.sigmoid):
                kwargs.pop("inplace", None)
                return _secant(func, *args, **kwargs)
            if func is F.layer_norm:
                return self.layer_norm(*args, **kwargs)
            if func is F.scaled_dot_product_attention:
                query, key, value, *_ = args
                scores = query @ key.mT / query.shape[-1] ** 0.5
                return scores.softmax(-1).detach() @ value
        return func(*args, **kwargs)

    @staticmethod
    def layer_norm(x, shape, weight, bias, eps):
        mean = x.mean(-1, keepdim=True)
        scale = ((x - mean) ** 2).mean(-1, keepdim=True).add(eps).rsqrt().detach()
        return (x - mean) * scale * weight + bias


def gradient_times_input(module: nn.Module, sources: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Heatmaps [classes, *source] of each source, by PyTorch alone."""
    torch.backends.mha.set_fastpath_enabled(False)
    tensors = [torch.from_numpy(source).requires_grad_() for source in sources]
    try:
        with Frozen():
            output = module(*tensors)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    rows = [
        torch.autograd.grad(output[:, k].sum(), tensors, retain_graph=True)
        for k in range(output.shape[1])
    ]
    return [
        np.stack([(gradient * tensor).detach().numpy() for gradient in row])
        for row, tensor in zip(zip(*rows, strict=True), tensors, strict=True)
    ]

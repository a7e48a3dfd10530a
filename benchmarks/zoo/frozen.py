"""Relevance by PyTorch alone: gradient x input of a program whose non-linear parts are frozen.

What LRP-0 keeps constant is detached from the graph, operation by operation (Gawlikowski and
Gottschling 2024, section 3; Achtibat et al. 2024 for attention and normalization). Then the
gradient is a matrix of constants, and gradient x input is the relevance. Nothing of `rfp_jax` is
used, so that agreement means something.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.export import ExportedProgram
from torch.fx import Interpreter, Node
from torch.utils._pytree import tree_map_only

from benchmarks.zoo.original import NoOracleError

WEIGHTS = frozenset(
    "sigmoid hardsigmoid softmax _softmax rsqrt reciprocal linalg_vector_norm".split()
)
"""Weights of a signal: gates, attention, scales. A weight passes no relevance."""

SECANTS = frozenset(
    "gelu silu hardswish mish tanh elu selu softplus relu6 hardtanh clamp clamp_min".split()
)
"""Functions of one variable: the line from 0, element by element."""

PIECEWISE = frozenset("relu leaky_relu max_pool2d max_pool2d_with_indices amax prelu".split())
"""Linear where they are: their gradient is the line's slope."""

LINEAR = frozenset(
    """convolution conv1d conv2d conv3d linear addmm add sub neg cat stack reshape permute transpose
    t mean sum avg_pool2d avg_pool1d adaptive_avg_pool2d _adaptive_avg_pool2d slice select
    unsqueeze squeeze expand clone alias split split_with_sizes chunk unbind flatten roll pad
    constant_pad_nd reflection_pad2d upsample_nearest2d upsample_bilinear2d
    _upsample_bilinear2d_aa batch_norm _native_batch_norm_legit_no_training dropout native_dropout
    index index_select gather repeat pixel_shuffle pixel_unshuffle im2col col2im getitem _to_copy
    to lift_fresh_copy detach unfold flip narrow broadcast_to cumsum where masked_fill
    slice_scatter select_scatter type_as diagonal""".split()
)
"""Linear in the operand that depends on a source; of `where` the choice depends on none."""

CONSTANT = frozenset(
    """new_zeros new_ones new_full zeros_like ones_like full_like sym_size
    _assert_tensor_metadata""".split()
)
"""Operations that ask an operand for its shape or dtype only."""

VIEWS: dict[str, Callable[..., Tensor]] = {
    "view": torch.reshape,
    "_unsafe_view": torch.reshape,
}
"""Linear, too; the frozen parts may lie otherwise in memory, where no view is possible."""

BILINEAR = frozenset("mul matmul mm bmm baddbmm einsum".split())


class Frozen(Interpreter):
    """Runs a program forward so that its gradient is the matrix of LRP-0.

    Args:
        program: a program of `torch.export`, decomposed to its functional form.
    """

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__(program.module())
        self.sourced: set[Node] = set()
        self.weights: set[Node] = set()
        self.unknown: dict[Node, str] = {}

    def run_node(self, n: Node) -> Any:
        """Run a node; say whether a source reaches it, and whether it is a weight."""
        if n.op == "placeholder":
            self.sourced.add(n)
        name = _name(n.target)
        reached = [operand for operand in n.all_input_nodes if operand in self.sourced]
        if n.op == "output" and (unknown := self._unknown(reached)):
            raise NoOracleError(unknown)
        if n.op != "call_function" or not reached or name in CONSTANT:
            return super().run_node(n)
        self.sourced.add(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        signals = [operand for operand in reached if operand not in self.weights]
        if name in WEIGHTS or not signals:
            self.weights.add(n)
            return _detached(super().run_node(n))
        if unknown := self._unknown(signals):
            self.unknown[n] = unknown
        return self._signal(name, n, signals, args, kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation as it stands, but for views."""
        return super().call_function(VIEWS.get(_name(target)) or target, args, kwargs)

    def _unknown(self, operands: Sequence[Node]) -> str:
        return next((self.unknown[operand] for operand in operands if operand in self.unknown), "")

    def _signal(self, name: str, n: Node, signals: Sequence[Node], args: Any, kwargs: Any) -> Any:
        target = VIEWS.get(name) or cast("Callable[..., Any]", n.target)  # of a call_function
        if name in SECANTS:
            return _secant(target, *args, **kwargs)
        if name in PIECEWISE | LINEAR | VIEWS.keys() or (name in BILINEAR and len(signals) < 2):
            return target(*args, **kwargs)
        if name in BILINEAR:
            return _product(target, *args, **kwargs)
        if name == "div" and n.args[0] in signals:
            return target(args[0], *map(_detached, args[1:]), **kwargs)
        if name in FORMS:
            return FORMS[name](*args, **kwargs)
        self.unknown[n] = name  # no matter if only weights are made of it
        return target(*args, **kwargs)


def _name(target: Any) -> str:
    return getattr(target, "__name__", str(target)).split(".")[0]


def _detached(value: Any) -> Any:
    return tree_map_only(Tensor, Tensor.detach, value)


def _secant(f: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`f(x)` as a line through `f(0)` whose slope has no gradient."""
    start = f(torch.zeros_like(x), *args, **kwargs).detach()
    slope = torch.where(x == 0, 0, (f(x, *args, **kwargs) - start) / torch.where(x == 0, 1, x))
    return start + x * slope.detach()


def _product(f: Callable[..., Tensor], x: Tensor, y: Tensor, **kwargs: Any) -> Tensor:
    """Two signals share as Aumann and Shapley do, `f(dx, (y + b_y) / 2) + f((x + b_x) / 2, dy)`.

    Beside each signal runs what all sources contributed to it, so the rest is its constant part b.
    """
    halves = [((2 * part - _contributed(part)) / 2).detach() for part in (x, y)]
    shared = f(x, halves[1], **kwargs) + f(halves[0], y, **kwargs)
    return shared + (f(x, y, **kwargs) - shared).detach()


def _contributed(x: Tensor) -> Tensor:
    given = forward_ad.unpack_dual(x).tangent
    return torch.zeros_like(x) if given is None else given


def _standardized(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    """Subtract the mean, and divide by a deviation that has no gradient."""
    centered = x - x.mean(tuple(axes), keepdim=True)
    return centered * (centered.square().mean(tuple(axes), keepdim=True) + eps).rsqrt().detach()


def _layer_norm(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    _cudnn: bool = False,
) -> Tensor:
    y = _standardized(x, range(-len(shape), 0), eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    _cudnn: bool = False,
) -> Tensor:
    y = _standardized(x.reshape(len(x), groups, -1), [-1], eps).reshape(x.shape)
    across = (-1, *[1] * (x.ndim - 2))
    y = y if weight is None else y * weight.reshape(across)
    return y if bias is None else y + bias.reshape(across)


def _rms_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    axes = tuple(range(-len(shape), 0))
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    y = x * (x.square().mean(axes, keepdim=True) + eps).rsqrt().detach()
    return y if weight is None else y * weight


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *rest: Any,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """A mean of values; the weights have no gradient."""
    given = dict(zip(("mask", "dropout", "is_causal"), rest, strict=False))
    mask: Tensor | None = given.get("mask")
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if given.get("is_causal"):
        scores = scores.masked_fill(~torch.ones_like(scores, dtype=torch.bool).tril(), -torch.inf)
    if mask is not None:
        scores = (
            scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        )
    return scores.softmax(-1).detach() @ value


def _copy(x: Tensor, value: Tensor, *_: Any) -> Tensor:
    return value.to(x.dtype).expand_as(x)


FORMS: dict[str, Callable[..., Tensor]] = {
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "rms_norm": _rms_norm,
    "scaled_dot_product_attention": _attention,
    "copy": _copy,
}
"""Operations that need a form of their own."""


def heatmaps(module: nn.Module, sources: Sequence[Tensor], weights: np.ndarray) -> list[np.ndarray]:
    """Relevance of the weighted output for each element of each source.

    Args:
        module: a network in eval mode, a function of the sources alone.
        sources: each [batch, ...].
        weights: of the output's shape.

    Raises:
        NoOracleError: an operation whose frozen form is not written here reaches the output as a
            signal; the message is its name.
    """
    leaves = [source.clone().requires_grad_() for source in sources]
    with warnings.catch_warnings(action="ignore"), forward_ad.dual_level():  # PyTorch's, of itself
        program = torch.export.export(module, tuple(sources), strict=False).run_decompositions({})
        output = Frozen(program).run(
            *(forward_ad.make_dual(leaf, leaf.detach()) for leaf in leaves)
        )
        (output,) = output if isinstance(output, tuple | list) else (output,)
        output = forward_ad.unpack_dual(output).primal
    gradients = torch.autograd.grad((output * torch.from_numpy(weights)).sum(), leaves)
    pairs = zip(gradients, leaves, strict=True)
    return [(gradient * leaf).detach().numpy() for gradient, leaf in pairs]

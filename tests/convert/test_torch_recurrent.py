"""Recurrent layers of PyTorch, on whole and on packed sequences, against their frozen steps.

The oracle is gradient x input of the layer's equations, written step by step in PyTorch: gates are
constants, `tanh` is its secant from 0 (Arras et al. 2017).
"""

import jax
import numpy as np
import pytest

import rfp_jax
from rfp_jax.convert import from_torch
from tests.golden.weights import relative_error

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils.rnn import (  # noqa: E402
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
)

from tests.convert.torch_networks import _secant, randomized  # noqa: E402

LENGTHS = np.array([2, 4, 1])


@pytest.fixture(autouse=True)
def _double(x64):
    pass


def sequences(batch=3, steps=4, features=4):
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, steps, features))


def cell_step(kind, x, state, w_hidden, b_hidden):
    """One frozen step; x is the input's part of the gates."""
    h, c = state
    y = h @ w_hidden.T + b_hidden
    if kind == "GRU":
        (xr, xz, xn), (hr, hz, hn) = x.chunk(3, -1), y.chunk(3, -1)
        r, z = torch.sigmoid(xr + hr).detach(), torch.sigmoid(xz + hz).detach()
        h = (1 - z) * _secant(torch.tanh, xn + r * hn) + z * h
    elif kind == "LSTM":
        i, f, g, o = (x + y).chunk(4, -1)
        i, f, o = (torch.sigmoid(gate).detach() for gate in (i, f, o))
        c = f * c + i * _secant(torch.tanh, g)
        h = o * _secant(torch.tanh, c)
    else:
        h = _secant(torch.tanh, x + y)
    return h, c


def layers_by_hand(layer, x, lengths=None):
    """The outputs of all layers of a module on x [batch, time, features], frozen."""
    kind, hidden = type(layer).__name__, layer.hidden_size
    lengths = [x.shape[1]] * x.shape[0] if lengths is None else lengths
    for number in range(layer.num_layers):
        parts = []
        for way in ("", "_reverse")[: 1 + layer.bidirectional]:
            names = [
                f"{n}_l{number}{way}" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            w_input, w_hidden, b_input, b_hidden = (getattr(layer, name) for name in names)
            rows = []
            for sample, length in zip(x, lengths, strict=True):
                state = (torch.zeros(hidden).to(x), torch.zeros(hidden).to(x))
                outputs = [torch.zeros(hidden).to(x)] * x.shape[1]
                for t in reversed(range(length)) if way else range(length):
                    part = sample[t] @ w_input.T + b_input
                    state = cell_step(kind, part, state, w_hidden, b_hidden)
                    outputs[t] = state[0]
                rows.append(torch.stack(outputs))
            parts.append(torch.stack(rows))
        x = torch.cat(parts, -1)
    return x


class Series(nn.Module):
    """A recurrent layer on two sensors side by side, and a head on the mean of its outputs."""

    def __init__(self, kind, packs):
        super().__init__()
        self.layer = getattr(nn, kind)(4, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.head, self.packs, self.frozen = nn.Linear(6, 2), packs, False

    def forward(self, x, lengths=None):
        if self.frozen:
            y = layers_by_hand(self.layer, x, None if lengths is None else lengths.tolist())
        elif self.packs:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            y, _ = pad_packed_sequence(self.layer(packed)[0], batch_first=True)
        else:
            y, _ = self.layer(x)
        return self.head(y.mean(1))


def gradient(output, tensor):
    return torch.autograd.grad(output, tensor, retain_graph=True)[0]


@pytest.mark.parametrize("packs", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_relevance_is_that_of_the_frozen_steps(kind, packs):
    module, x = randomized(Series(kind, packs)), sequences()
    more = (LENGTHS,) if packs else ()
    fun, params = from_torch(module)
    relevance = jax.jit(rfp_jax.relevance(fun, argnums=1))(params, x, *more)
    lengths = map(torch.from_numpy, more)
    expected = module(torch.from_numpy(x), *lengths).detach()
    assert relative_error(relevance.output, expected) <= 1e-12

    module.frozen, tensor = True, torch.from_numpy(x).requires_grad_()
    output = module(tensor, *map(torch.from_numpy, more))
    assert relative_error(output.detach(), expected) <= 1e-12
    oracle = [
        [(gradient(output[n, k], tensor) * tensor.detach())[n].sum().item() for k in range(2)]
        for n in range(3)
    ]
    assert relative_error(relevance.sources, np.array(oracle)) <= 1e-10


class Inside(nn.Module):
    """Changes what is packed, gives a first state, and pads to a length of its own."""

    def __init__(self):
        super().__init__()
        self.layer = nn.LSTM(4, 5, proj_size=3, bias=False)

    def forward(self, x, lengths, first):
        p = pack_padded_sequence(x, lengths, enforce_sorted=False)
        p = PackedSequence(2 * p.data, p.batch_sizes, p.sorted_indices, p.unsorted_indices)
        y, last = self.layer(p, (first, x.new_ones(1, x.shape[1], 5)))
        return pad_packed_sequence(y, padding_value=-1.0, total_length=6), last


def test_packed_data_states_and_lengths():
    module, x = randomized(Inside()), sequences().swapaxes(0, 1)
    first = np.random.default_rng(1).standard_normal((1, 3, 3))
    fun, params = from_torch(module, check=(x, LENGTHS, first))
    assert fun.compared.relative <= 1e-12
    (y, lengths), _ = fun(params, x, LENGTHS, first)
    assert y.shape == (6, 3, 3)
    np.testing.assert_array_equal(lengths, LENGTHS)


def test_a_wrong_packed_layer_is_found(monkeypatch):
    """The check runs PyTorch's own layer on packed sequences; memory that is empty is not it."""
    from rfp_jax.convert import DifferenceError
    from rfp_jax.convert._aten import TABLE

    right = TABLE["rfp_jax.packed_gru"]
    monkeypatch.setitem(
        TABLE, "rfp_jax.packed_gru", lambda *args: tuple(1.01 * part for part in right(*args))
    )
    with pytest.raises(
        DifferenceError, match=r"first at rfp_jax\.packed_gru.*of submodule 'layer'"
    ):
        from_torch(randomized(Series("GRU", True)), check=(sequences(), LENGTHS))

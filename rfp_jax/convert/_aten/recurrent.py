"""Recurrent layers as scans: LSTM, GRU and plain ones, stacked and bidirectional."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax, nn

from rfp_jax.convert._aten.broadcast import Operation, along
from rfp_jax.convert._aten.linear import linear

State = tuple[jax.Array, ...]
Weights = Sequence[jax.Array]
Cell = Callable[[jax.Array, State, Weights], State]
"""(input's part, state, hidden weight and bias) to the next state; the first is what it returns."""


def _hidden(state: jax.Array, weights: Weights) -> jax.Array:
    """Return what the state adds to the gates."""
    y = linear(state, weights[0])
    return y + along(-1, weights[1], y.ndim) if len(weights) > 1 else y


def lstm_cell(x: jax.Array, state: State, weights: Weights) -> State:
    """Gates in the order input, forget, cell, output."""
    hidden, cell = state
    i, f, g, o = jnp.split(x + _hidden(hidden, weights), 4, axis=-1)
    cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
    return nn.sigmoid(o) * jnp.tanh(cell), cell


def gru_cell(x: jax.Array, state: State, weights: Weights) -> State:
    """Gates in the order reset, update, new."""
    (hidden,) = state
    x_reset, x_update, x_new = jnp.split(x, 3, axis=-1)
    h_reset, h_update, h_new = jnp.split(_hidden(hidden, weights), 3, axis=-1)
    update = nn.sigmoid(x_update + h_update)
    new = jnp.tanh(x_new + nn.sigmoid(x_reset + h_reset) * h_new)
    return ((1 - update) * new + update * hidden,)


def plain_cell(activation: Callable[[jax.Array], jax.Array]) -> Cell:
    """`activation(W x + b + U h + c)`."""
    return lambda x, state, weights: (activation(x + _hidden(state[0], weights)),)


def projected(cell: Cell, weight: jax.Array) -> Cell:
    """A cell whose state is projected before it is returned: `proj_size` of an LSTM."""

    def step(x: jax.Array, state: State, weights: Weights) -> State:
        hidden, *others = cell(x, state, weights)
        return linear(hidden, weight), *others

    return step


def layers(
    cell: Cell,
    x: jax.Array,
    states: Sequence[jax.Array],
    params: Weights,
    has_biases: bool,
    directions: int,
    batch_first: bool,
    has_projections: bool = False,
    runs: jax.Array | None = None,
) -> tuple[jax.Array, list[jax.Array]]:
    """Run stacked layers.

    Args:
        cell: one step.
        x: [time, batch, features], or [batch, time, features].
        states: each [layers x directions, batch, hidden].
        params: per layer and direction input weight, hidden weight, their biases, and what the
            state is projected by.
        has_biases: whether there are biases.
        directions: 2 if every layer runs backwards, too.
        batch_first: whether the batch is the first axis of `x`.
        has_projections: whether the state is projected in each step.
        runs: [time, batch], whether a step belongs to the sequence; one that does not keeps the
            state and returns zeros.

    Returns:
        The last layer's output, shaped like `x`, and the last states, shaped like `states`.
    """
    x = x.swapaxes(0, 1) if batch_first else x
    square = 4 if has_biases else 2
    each = square + has_projections
    last: list[State] = []
    for first in range(0, len(params) // each, directions):
        outputs = []
        for number in range(first, first + directions):
            own = params[number * each : (number + 1) * each]
            parts = linear(x, own[0])
            parts = parts + along(-1, own[2], parts.ndim) if has_biases else parts
            start = tuple(state[number] for state in states)
            step = projected(cell, own[-1]) if has_projections else cell
            weights, backwards = own[1:square:2], number > first
            final, output = _scan(step, parts, start, weights, reverse=backwards, runs=runs)
            last.append(final)
            outputs.append(output)
        x = jnp.concatenate(outputs, axis=-1) if directions > 1 else outputs[0]
    finals = [jnp.stack(of_kind) for of_kind in zip(*last, strict=True)]
    return (x.swapaxes(0, 1) if batch_first else x), finals


def _scan(
    cell: Cell,
    parts: jax.Array,
    start: State,
    weights: Weights,
    *,
    reverse: bool,
    runs: jax.Array | None,
) -> tuple[State, jax.Array]:
    def step(state: State, now: tuple[jax.Array, jax.Array | None]) -> tuple[State, jax.Array]:
        part, runs = now
        new = cell(part, state, weights)
        if runs is None:
            return new, new[0]
        runs = runs[:, None]
        kept = tuple(jnp.where(runs, ours, old) for ours, old in zip(new, state, strict=True))
        return kept, jnp.where(runs, new[0], 0)

    return lax.scan(step, start, (parts, runs), reverse=reverse)


def lstm(
    x: jax.Array,
    states: Sequence[jax.Array],
    params: Weights,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`aten.lstm`: output, last hidden state, last cell state."""
    directions = 1 + bidirectional
    has_projections = len(params) > num_layers * directions * (4 if has_biases else 2)
    y, (hidden, cell) = layers(
        lstm_cell, x, states, params, has_biases, directions, batch_first, has_projections
    )
    return y, hidden, cell


def single_state(cell: Cell) -> Operation:
    """`aten.gru`, `aten.rnn_tanh`, `aten.rnn_relu`: output, last state."""

    def operation(
        x: jax.Array,
        state: jax.Array,
        params: Weights,
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[jax.Array, jax.Array]:
        y, (last,) = layers(cell, x, [state], params, has_biases, 1 + bidirectional, batch_first)
        return y, last

    return operation


def packed(cell: Cell) -> Operation:
    """Layers on dense packed sequences: output [time batch, features], last states.

    The sequences are sorted, the longest first; `running` tells how many run at each step.
    """

    def operation(
        x: jax.Array,
        running: jax.Array,
        states: Sequence[jax.Array],
        params: Weights,
        has_biases: bool,
        num_layers: int,
        bidirectional: bool,
    ) -> tuple[jax.Array, ...]:
        directions, steps, batch = 1 + bidirectional, running.shape[0], states[0].shape[1]
        has_projections = len(params) > num_layers * directions * (4 if has_biases else 2)
        y, last = layers(
            cell,
            x.reshape(steps, batch, *x.shape[1:]),
            states,
            params,
            has_biases,
            directions,
            False,
            has_projections,
            runs=jnp.arange(batch)[None] < running[:, None],
        )
        return y.reshape(steps * batch, -1), *last

    return operation


def _cell_operation(cell: Cell) -> Operation:
    """One step with weights of its own: `aten.lstm_cell` and the like."""

    def operation(x, state, w_input, w_hidden, b_input=None, b_hidden=None):
        start = tuple(state) if isinstance(state, (list, tuple)) else (state,)
        weights = [w_hidden] if b_hidden is None else [w_hidden, b_hidden]
        first, *others = cell(linear(x, w_input, b_input), start, weights)
        return (first, *others) if others else first

    return operation


TABLE: dict[str, Operation] = {
    "lstm.input": lstm,
    "gru.input": single_state(gru_cell),
    "rnn_tanh.input": single_state(plain_cell(jnp.tanh)),
    "rnn_relu.input": single_state(plain_cell(nn.relu)),
    "rfp_jax.packed_lstm": packed(lstm_cell),
    "rfp_jax.packed_gru": packed(gru_cell),
    "rfp_jax.packed_rnn_tanh": packed(plain_cell(jnp.tanh)),
    "rfp_jax.packed_rnn_relu": packed(plain_cell(nn.relu)),
    "lstm_cell": _cell_operation(lstm_cell),
    "gru_cell": _cell_operation(gru_cell),
    "rnn_tanh_cell": _cell_operation(plain_cell(jnp.tanh)),
    "rnn_relu_cell": _cell_operation(plain_cell(nn.relu)),
}

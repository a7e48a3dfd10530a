"""Recurrent layers as scans over time.

All have a form in common: a state per sample, gates from the input and the state, an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree

State = tuple[jax.Array, ...]
Activation = Callable[[jax.Array], jax.Array]
Cell = Callable[[list[Activation], "Weights", jax.Array, State], State]

ACTIVATIONS: dict[str, tuple[tuple[str, ...], Callable[..., jax.Array]]] = {
    "affine": (("alpha", "beta"), lambda x, alpha, beta: alpha * x + beta),
    "elu": (("alpha",), jax.nn.elu),
    "hardsigmoid": (("alpha", "beta"), lambda x, alpha, beta: jnp.clip(alpha * x + beta, 0, 1)),
    "leakyrelu": (("alpha",), jax.nn.leaky_relu),
    "relu": ((), jax.nn.relu),
    "scaledtanh": (("alpha", "beta"), lambda x, alpha, beta: alpha * jnp.tanh(beta * x)),
    "sigmoid": ((), jax.nn.sigmoid),
    "softplus": ((), jax.nn.softplus),
    "softsign": ((), jax.nn.soft_sign),
    "tanh": ((), jnp.tanh),
    "thresholdedrelu": (("alpha",), lambda x, alpha: jnp.where(x > alpha, x, 0 * x)),
}
"""Each activation's numbers, and itself."""

DEFAULTS = {
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,),
    "thresholdedrelu": (1.0,),
}


class Weights:
    """The weights of one direction.

    Attributes:
        r: of the state, `[hidden, gates hidden]`.
        bias: of the state, `[1, gates hidden]`.
        peepholes: of the memory for the gates i, o, f, each `[1, hidden]`.
        option: `linear_before_reset` or `input_forget`.
        clip: the greatest size of what an activation sees, or None.
    """

    def __init__(
        self,
        r: jax.Array,
        bias: jax.Array,
        peepholes: jax.Array | None,
        option: bool,
        clip: float | None,
    ):
        self.r, self.bias, self.option, self.clip = r.T, bias[None], option, clip
        self.peepholes = [0.0] * 3 if peepholes is None else jnp.split(peepholes[None], 3, -1)

    def bounded(self, x: jax.Array) -> jax.Array:
        """Clipped, if that is asked for."""
        return x if self.clip is None else jnp.clip(x, -self.clip, self.clip)


def rnn_cell(activations: list[Activation], w: Weights, x: jax.Array, state: State) -> State:
    """`h = f(x + R h)`."""
    (h,), (f,) = state, activations
    return (f(w.bounded(x + h @ w.r + w.bias)),)


def gru_cell(activations: list[Activation], w: Weights, x: jax.Array, state: State) -> State:
    """`h = (1 - z) n + z h`, with an update gate z, a reset gate r and a candidate n."""
    (h,), (f, g) = state, activations
    size = h.shape[-1]
    gates = w.bounded(x[:, : 2 * size] + h @ w.r[:, : 2 * size] + w.bias[:, : 2 * size])
    z, r = jnp.split(f(gates), 2, -1)
    rn, bn = w.r[:, 2 * size :], w.bias[:, 2 * size :]
    recurrent = r * (h @ rn + bn) if w.option else (r * h) @ rn + bn
    n = g(w.bounded(x[:, 2 * size :] + recurrent))
    return ((1 - z) * n + z * h,)


def lstm_cell(activations: list[Activation], w: Weights, x: jax.Array, state: State) -> State:
    """`c = f c + i n` and `h = o tanh(c)`, with gates i, o, f and a candidate n."""
    (h, c), (sigma, g, out) = state, activations
    i, o, f, n = jnp.split(x + h @ w.r + w.bias, 4, -1)
    pi, po, pf = w.peepholes
    i = sigma(w.bounded(i + pi * c))
    f = 1 - i if w.option else sigma(w.bounded(f + pf * c))
    c = f * c + i * g(w.bounded(n))
    return sigma(w.bounded(o + po * c)) * out(c), c


def layer(
    cell: Cell, gates: int, states: int, defaults: Sequence[str], option: str
) -> Callable[..., tuple[jax.Array, ...]]:
    """An operation: scans of a cell over time, in one or both directions.

    Args:
        cell: one step.
        gates: how many gates the cell has.
        states: how many arrays its state is.
        defaults: its activations, unless the node names others.
        option: the name of its own attribute.
    """

    def operation(  # noqa: PLR0917  (ONNX's order)
        x: jax.Array,
        w: ArrayLike,
        r: ArrayLike,
        b: ArrayLike | None = None,
        sequence_lens: ArrayLike | None = None,
        initial_h: ArrayLike | None = None,
        initial_c: ArrayLike | None = None,
        peepholes: ArrayLike | None = None,
        *,
        activation_alpha: Sequence[float] = (),
        activation_beta: Sequence[float] = (),
        activations: Sequence[str] | None = None,
        clip: float | None = None,
        direction: str = "forward",
        hidden_size: int | None = None,
        layout: int = 0,
        input_forget: int = 0,
        linear_before_reset: int = 0,
        n_outputs: int = 1,
    ) -> tuple[jax.Array, ...]:
        w, r = jnp.asarray(w), jnp.asarray(r)
        directions, hidden = w.shape[0], r.shape[-1]
        x = jnp.swapaxes(x, 0, 1) if layout else x  # [time, sample, feature]
        names = list(activations or tuple(defaults) * directions)
        numbers = {"alpha": iter(activation_alpha), "beta": iter(activation_beta)}
        functions = [_activation(name, numbers) for name in names]
        lengths = None if sequence_lens is None else jnp.asarray(sequence_lens)
        initial = [
            None if given is None else jnp.swapaxes(jnp.asarray(given), 0, layout)
            for given in (initial_h, initial_c)[:states]
        ]
        bias = jnp.zeros((directions, 2 * gates * hidden), x.dtype) if b is None else jnp.asarray(b)
        chosen = {"input_forget": input_forget, "linear_before_reset": linear_before_reset}

        ys, finals = [], []
        for d in range(directions):
            backwards = direction == "reverse" or d == 1
            own = functions[d * len(defaults) : (d + 1) * len(defaults)]
            b_input, b_state = jnp.split(bias[d], 2)
            holes = None if peepholes is None else jnp.asarray(peepholes)[d]
            weights = Weights(r[d], b_state, holes, bool(chosen.get(option, 0)), clip)
            zeros = jnp.zeros((x.shape[1], hidden), x.dtype)
            start = tuple(zeros if given is None else given[d] for given in initial)
            inputs = _reverse(x, lengths) if backwards else x
            inputs = inputs @ w[d].T + b_input[None, None]
            y, final = _scan(cell, own, weights, inputs, start, lengths=lengths)
            ys.append(_reverse(y, lengths) if backwards else y)
            finals.append(final)
        y = jnp.stack(ys, axis=1)  # [time, direction, sample, hidden]
        y = jnp.moveaxis(y, 2, 0) if layout else y
        last = [jnp.stack(state, axis=layout) for state in zip(*finals, strict=True)]
        return (y, *last)[:n_outputs]

    return operation


def _scan(
    cell: Cell,
    activations: list[Activation],
    weights: Weights,
    inputs: jax.Array,
    start: State,
    *,
    lengths: jax.Array | None,
) -> tuple[jax.Array, State]:
    """All states h in the order of time and the last state; behind a sequence's end 0."""

    def step(state: State, now: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
        x, time = now
        new = cell(activations, weights, x, state)
        if lengths is None:
            return new, new[0]
        runs = jnp.broadcast_to((time < lengths)[:, None], new[0].shape)
        kept = tuple(jnp.where(runs, n, s) for n, s in zip(new, state, strict=True))
        return kept, jnp.where(runs, new[0], jnp.zeros_like(new[0]))

    times = jnp.arange(inputs.shape[0])
    last, y = lax.scan(step, start, (inputs, times))
    return y, last


def _reverse(x: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """Each sequence `[time, sample, ...]` in reverse, within its length."""
    if lengths is None:
        return jnp.flip(x, 0)
    time = jnp.arange(x.shape[0])[:, None]
    source = jnp.where(time < lengths[None], lengths[None] - 1 - time, time)
    return jnp.take_along_axis(x, source[..., None], axis=0)


def _activation(name: str, numbers: dict[str, Iterator[float]]) -> Activation:
    """An activation with its numbers, the next of those that the node gives."""
    wanted, fun = ACTIVATIONS[name.lower()]
    defaults = DEFAULTS.get(name.lower(), (1.0,) * len(wanted))
    given = [next(numbers[n], default) for n, default in zip(wanted, defaults, strict=True)]
    return lambda x: fun(x, *given)


TABLE: dict[str, Callable[..., Tree]] = {
    "GRU": layer(gru_cell, 3, 1, ("Sigmoid", "Tanh"), "linear_before_reset"),
    "LSTM": layer(lstm_cell, 4, 2, ("Sigmoid", "Tanh", "Tanh"), "input_forget"),
    "RNN": layer(rnn_cell, 1, 1, ("Tanh",), ""),
}

"""Faults to plant in rules, and small networks around an example call of a primitive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rfp_jax import relevance, rules
from rfp_jax.rules import Composite, Frozen
from tests.oracles import calls

Fault = Callable[[Frozen], Frozen]

REAL = 1e-2
"""A fault is one where it breaks the law by so much of the largest number."""


def _map(frozen: Frozen, change: Callable[[Any, Any], Any]) -> Frozen:
    """Change what is pushed to each result; `change(pushed, result)`."""
    push = frozen.push
    assert push is not None

    def changed(*c: Any) -> Any:
        pushed = push(*c)
        if not isinstance(pushed, list | tuple):
            return change(pushed, frozen.output)
        both = zip(pushed, frozen.output, strict=True)
        return [p if p is None else change(p, y) for p, y in both]

    return frozen._replace(push=changed)


def _factor(frozen: Frozen) -> Frozen:
    return _map(frozen, lambda p, _: 1.05 * p if jnp.issubdtype(p.dtype, jnp.inexact) else p)


def _wrong_gate(frozen: Frozen) -> Frozen:
    """Contributions are stopped where the result is positive."""
    return _map(frozen, lambda p, y: jnp.where(jnp.real(y) > 0, jnp.zeros_like(p), p))


def _dropped_term(frozen: Frozen) -> Frozen:
    """The last input, or of one input the last half, contributes nothing."""
    push = frozen.push
    assert push is not None

    def dropped(*c: Any) -> Any:
        *kept, last = c
        if last is None:
            return push(*c)
        flat = last.reshape(-1)
        half = flat.at[flat.size // 2 :].set(0).reshape(last.shape)
        return push(*kept, jnp.zeros_like(last) if kept else half)

    return frozen._replace(push=dropped)


def _swapped(frozen: Frozen) -> Frozen:
    push = frozen.push
    assert push is not None

    def swapped(*c: Any) -> Any:
        alike = len(c) > 1 and None not in c[:2] and c[0].shape == c[1].shape
        return push(c[1], c[0], *c[2:]) if alike else push(*c)

    return frozen._replace(push=swapped)


def _missing_bias(frozen: Frozen) -> Frozen:
    return frozen._replace(bias=None)


FAULTS: Mapping[str, Fault] = {
    "factor": _factor,
    "dropped term": _dropped_term,
    "wrong gate": _wrong_gate,
    "swapped operands": _swapped,
    "missing bias": _missing_bias,
}


@dataclass
class Planted:
    """Rules with a fault in that of one primitive.

    Attributes:
        primitive: its name.
        fault: what is wrong.
        broken: the greatest error of the law that the fault made, where the numbers were known.
    """

    primitive: str
    fault: Fault
    broken: float = 0.0

    def rules(self) -> Composite:
        """Return the faulty rules."""
        right = rules.lrp0.table[self.primitive]

        def faulty(f: Any, *x: jax.Array) -> Frozen:
            frozen = right(f, *x)
            if frozen.push is None or frozen.inputs == () or not frozen.outputs:
                return frozen
            wrong = self.fault(frozen)
            self.broken = max(self.broken, _error(f, wrong))
            return wrong

        return rules.lrp0.with_rules({self.primitive: faulty}, "planted")


def _error(f: Any, frozen: Frozen) -> float:
    """Return how far `y = push(a) + bias` is from the truth, by the definition."""
    inputs = f.inputs if frozen.inputs is None else frozen.inputs
    arrays = [value.activation for value in inputs]
    if any(isinstance(a, jax.core.Tracer) for a in arrays):
        return 0.0
    pushed = frozen.pushed(*arrays)
    biases = frozen.biases() if frozen.bias is not None else [0.0] * len(pushed)
    worst = 0.0
    for y, p, b in zip(frozen.outputs, pushed, biases, strict=True):
        if p is None or not jnp.issubdtype(y.dtype, jnp.inexact):
            continue
        wide = [np.asarray(v).astype(complex) for v in (y, p, 0.0 if b is None else b)]
        with np.errstate(all="ignore"):
            rest = np.abs(wide[0] - wide[1] - wide[2])
            size = np.max(np.abs(wide[0]) + np.abs(wide[1]), initial=0)
        if np.isfinite(wide[0]).all() and np.isfinite(rest).all() and size > 0:
            worst = max(worst, float(rest.max() / size))
    return worst


@dataclass(frozen=True)
class Around:
    """A small network around a call: what leads to its operands, and a layer behind it.

    Attributes:
        several: whether each operand has a source of its own; else all have one in common.
        bias: whether constants are added before and behind.
        looped: whether the call stands in the body of a scan.
    """

    several: bool = True
    bias: bool = False
    looped: bool = False

    def build(self, call: calls.Call, dtype: Any) -> tuple[Callable[..., jax.Array], list[Any]]:
        """Return the network and its sources, which give the call its own operands."""
        operands = [_moderate(o) if i in call.sources else o for i, o in enumerate(call.operands)]
        operands = [_cast(o, dtype) for o in operands]
        tracked = [i for i in call.sources if jnp.issubdtype(operands[i].dtype, jnp.inexact)]
        tracked = tracked if self.several else tracked[:1]

        def network(*xs: jax.Array) -> jax.Array:
            def body(xs: Any) -> jax.Array:
                at = list(operands)
                for i, x in zip(tracked, xs, strict=True):
                    at[i] = (x + operands[i]) / 2 if self.bias else x / 2 + x / 2
                results = jax.tree.leaves(call.fun(*at))
                numbers = [jnp.real(r) for r in results if jnp.issubdtype(r.dtype, jnp.inexact)]
                flat = [n.reshape(-1).astype(dtype) for n in numbers]
                return jnp.concatenate(flat) if flat else jnp.zeros(1, dtype)

            if self.looped:
                _, ys = lax.scan(lambda h, _: (h, body(h)), list(xs), None, length=2)
                h = ys[1]
            else:
                h = body(xs)
            weights = np.random.default_rng(1).normal(size=(h.size, 3)) / 4
            y = h @ jnp.asarray(weights, dtype)
            return jax.nn.relu(y + jnp.asarray(0.1, dtype)) if self.bias else y

        return network, [operands[i] for i in tracked]


def _cast(operand: Any, dtype: Any) -> jax.Array:
    real = np.issubdtype(np.asarray(operand).dtype, np.floating)
    return jnp.asarray(operand).astype(dtype) if real else jnp.asarray(operand)


def _moderate(operand: np.ndarray) -> np.ndarray:
    """Replace numbers beside which the others vanish."""
    if not np.issubdtype(operand.dtype, np.floating):
        return operand
    usual = operand[np.abs(operand) <= 20]
    usual = usual[(np.abs(usual) >= 1e-3)] if (np.abs(usual) >= 1e-3).any() else usual
    return np.where(np.isin(operand, usual), operand, np.resize(usual, operand.shape))


def is_fault(call: calls.Call, around: Around, fault: str) -> bool:
    """Return whether a fault is one for this call's rule: whether it breaks the law, by definition.

    Swapped operands of a sum are none, nor is a missing bias that is zero.
    """
    planted = Planted(call.primitive, FAULTS[fault])
    network, sources = Around(around.several, around.bias).build(call, jnp.float32)
    relevance(network, tuple(range(len(sources))), rules=planted.rules())(*sources)
    return planted.broken > REAL

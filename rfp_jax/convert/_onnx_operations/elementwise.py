"""Operations element by element: one line an operation where one line says it."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations.operation import Fixed, Known, Number, aligned


def unary(fun: Callable[[Tree], jax.Array]) -> Callable[[ArrayLike], jax.Array]:
    """An operation of one operand without attributes."""

    def operation(x: ArrayLike) -> jax.Array:
        return fun(x)

    return operation


def binary(fun: Callable[..., jax.Array]) -> Callable[[ArrayLike, ArrayLike], jax.Array]:
    """An operation of two operands that broadcast."""
    return lambda x, y: fun(*aligned(x, y))


def variadic(fun: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """An operation of any number of operands that broadcast, two by two."""
    return lambda *xs: functools.reduce(fun, aligned(*xs))


def divide(x: ArrayLike, y: ArrayLike) -> jax.Array:
    """`x / y`; integers are cut off towards zero."""
    x, y = aligned(x, y)
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return x / y
    return lax.div(*jnp.broadcast_arrays(x, y))


def power(x: jax.Array, y: Fixed) -> jax.Array:
    """`x ** y` in the dtype of x; a whole exponent that is known stays a number."""
    if isinstance(y, np.ndarray) and y.size == 1:
        exponent = y.item()
        x = x.reshape((1,) * (y.ndim - x.ndim) + x.shape) if y.ndim > x.ndim else x
        whole = float(exponent).is_integer() and abs(exponent) < 2**31
        return (x ** (int(exponent) if whole else exponent)).astype(x.dtype)
    x, y = aligned(x, y)
    return jnp.power(x, y).astype(x.dtype)


def modulo(x: ArrayLike, y: ArrayLike, *, fmod: int = 0) -> jax.Array:
    """The remainder, with the sign of y, or of x if `fmod`."""
    return (jnp.fmod if fmod else jnp.mod)(*aligned(x, y))


def shift(x: ArrayLike, y: ArrayLike, *, direction: str) -> jax.Array:
    """Bits moved to the left or right."""
    return (jnp.left_shift if direction == "LEFT" else jnp.right_shift)(*aligned(x, y))


def clip(x: jax.Array, min: Fixed | None = None, max: Fixed | None = None) -> jax.Array:
    """`x` between two bounds; the upper one wins."""
    if min is not None:
        x = jnp.maximum(x, jnp.asarray(min, x.dtype).reshape(()))
    return x if max is None else jnp.minimum(x, jnp.asarray(max, x.dtype).reshape(()))


def gelu(x: jax.Array, *, approximate: str = "none") -> jax.Array:
    """`x` times the normal distribution's cumulative function."""
    return jax.nn.gelu(x, approximate=approximate == "tanh")


def hard_sigmoid(x: jax.Array, *, alpha: float = 0.2, beta: float = 0.5) -> jax.Array:
    """A line between 0 and 1."""
    return jnp.clip(alpha * x + beta, 0, 1)


def selu(
    x: jax.Array, *, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805
) -> jax.Array:
    """`gamma` times x, or below 0 times `alpha (exp(x) - 1)`."""
    return gamma * jax.nn.elu(x, alpha)


def swish(x: jax.Array, *, alpha: float = 1.0) -> jax.Array:
    """`x sigmoid(alpha x)`."""
    return jax.nn.silu(x) if alpha == 1 else x * jax.nn.sigmoid(alpha * x)


def shrink(x: jax.Array, *, bias: float = 0.0, lambd: float = 0.5) -> jax.Array:
    """Small values to zero, others towards it by `bias`."""
    zero = jnp.zeros_like(x)
    return jnp.where(x < -lambd, x + bias, jnp.where(x > lambd, x - bias, zero)).astype(x.dtype)


def prelu(x: jax.Array, slope: ArrayLike) -> jax.Array:
    """`x`, or below 0 times a slope."""
    x, slope = aligned(x, slope)
    return jnp.where(x < 0, slope * x, x)


def is_infinite(x: jax.Array, *, detect_negative: int = 1, detect_positive: int = 1) -> jax.Array:
    """Mark the infinite entries of x, of the signs that are asked for."""
    return (jnp.isneginf(x) & bool(detect_negative)) | (jnp.isposinf(x) & bool(detect_positive))


def cast(x: ArrayLike, *, to: np.dtype, saturate: int = 1, round_mode: str = "up") -> jax.Array:
    """`x` in another dtype; the modes are of dtypes of eight bits and fewer."""
    if to.kind == "O" or (to.itemsize == 1 and to.name not in ("bool", "int8", "uint8")):
        raise NotImplementedError(f"casting what depends on an input to {to}")
    return jnp.asarray(x).astype(jax.dtypes.canonicalize_dtype(to))


def where(condition: ArrayLike, x: Number, y: Number) -> jax.Array:
    """`x` where the condition holds, else `y`.

    A number that fills places is handed on as one. So the zeros that `Attention` writes where a
    query sees nothing are known to be zeros, and the softmax with them to be weights.
    """
    fills = (_as_number(value, np.ndim(condition)) for value in (x, y))
    return jnp.where(*aligned(condition, *fills))


def _as_number(value: ArrayLike, rank: int) -> ArrayLike:
    """Return a known array of one element as that element, if arrays of a rank take it in."""
    if isinstance(value, np.ndarray) and value.size == 1 and value.ndim <= rank:
        return value.reshape(())
    return value


def bit_cast(x: ArrayLike, *, to: np.dtype) -> jax.Array:
    """The bits of `x` as numbers of another dtype of the same size."""
    return jnp.asarray(x).view(to)


def cast_like(
    x: Fixed, like: jax.Array, *, saturate: int = 1, round_mode: str = "up"
) -> jax.Array | np.ndarray:
    """`x` in the dtype of another array; a number of the program stays one."""
    plain = "biuf"  # others, bfloat16 among them, are not folded
    if isinstance(x, np.ndarray) and x.dtype.kind in plain and like.dtype.kind in plain:
        return x.astype(like.dtype)
    return cast(x, to=like.dtype)


def softmax_2d(fun: Callable[[jax.Array], jax.Array]) -> Callable[..., jax.Array]:
    """A softmax of opset 11: all axes from one on are one."""

    def operation(x: jax.Array, *, axis: int = 1) -> jax.Array:
        rows = int(np.prod(x.shape[: axis % x.ndim]))
        return fun(x.reshape(rows, -1)).reshape(x.shape)

    return operation


def hardmax(x: jax.Array, *, axis: int = -1) -> jax.Array:
    """One at the first greatest element, zero elsewhere."""
    return jax.nn.one_hot(jnp.argmax(x, axis), x.shape[axis], dtype=x.dtype, axis=axis)


def dropout(
    x: jax.Array,
    ratio: Fixed | None = None,
    training_mode: Known | None = None,
    *,
    seed: int = 0,
    n_outputs: int = 1,
) -> tuple[jax.Array, ...]:
    """Nothing, after training."""
    if training_mode is not None and training_mode and (ratio is None or np.any(ratio)):
        raise NotImplementedError("dropout in training mode: export the network for inference")
    return (x, jnp.ones(x.shape, bool))[:n_outputs]


def mean(*xs: ArrayLike) -> jax.Array:
    """The average of arrays that broadcast."""
    return functools.reduce(jnp.add, aligned(*xs)) / len(xs)


TABLE: dict[str, Callable[..., Tree]] = {
    "Abs": unary(jnp.abs),
    "Acos": unary(jnp.arccos),
    "Acosh": unary(jnp.arccosh),
    "Asin": unary(jnp.arcsin),
    "Asinh": unary(jnp.arcsinh),
    "Atan": unary(jnp.arctan),
    "Atanh": unary(jnp.arctanh),
    "BitwiseNot": unary(jnp.bitwise_not),
    "Ceil": unary(jnp.ceil),
    "Cos": unary(jnp.cos),
    "Cosh": unary(jnp.cosh),
    "Erf": unary(jax.scipy.special.erf),
    "Exp": unary(jnp.exp),
    "Floor": unary(jnp.floor),
    "HardSwish": unary(jax.nn.hard_swish),
    "Identity": unary(lambda x: x),
    "IsNaN": unary(jnp.isnan),
    "Log": unary(jnp.log),
    "Mish": unary(jax.nn.mish),
    "Neg": unary(jnp.negative),
    "Not": unary(jnp.logical_not),
    "Reciprocal": unary(lambda x: 1 / x),
    "Relu": unary(jax.nn.relu),
    "Round": unary(jnp.round),
    "Sigmoid": unary(jax.nn.sigmoid),
    "Sign": unary(jnp.sign),
    "Sin": unary(jnp.sin),
    "Sinh": unary(jnp.sinh),
    "Softplus": unary(jax.nn.softplus),
    "Softsign": unary(jax.nn.soft_sign),
    "Sqrt": unary(jnp.sqrt),
    "Tan": unary(jnp.tan),
    "Tanh": unary(jnp.tanh),
    # With attributes.
    "Celu": lambda x, *, alpha=1.0: jax.nn.celu(x, alpha),
    "Elu": lambda x, *, alpha=1.0: jax.nn.elu(x, alpha),
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "IsInf": is_infinite,
    "LeakyRelu": lambda x, *, alpha=0.01: jax.nn.leaky_relu(x, alpha),
    "Selu": selu,
    "Shrink": shrink,
    "Swish": swish,
    "ThresholdedRelu": lambda x, *, alpha=1.0: jnp.where(x > alpha, x, jnp.zeros_like(x)),
    "BitCast": bit_cast,
    "Cast": cast,
    "CastLike": cast_like,
    "Clip": clip,
    "Dropout": dropout,
    # Along an axis.
    "Softmax": lambda x, *, axis=-1: jax.nn.softmax(x, axis),
    "Softmax-11": softmax_2d(jax.nn.softmax),
    "LogSoftmax": lambda x, *, axis=-1: jax.nn.log_softmax(x, axis),
    "LogSoftmax-11": softmax_2d(jax.nn.log_softmax),
    "Hardmax": hardmax,
    "Hardmax-11": softmax_2d(hardmax),
    # Of two operands.
    "Add": binary(jnp.add),
    "And": binary(jnp.logical_and),
    "BitShift": shift,
    "BitwiseAnd": binary(jnp.bitwise_and),
    "BitwiseOr": binary(jnp.bitwise_or),
    "BitwiseXor": binary(jnp.bitwise_xor),
    "Div": divide,
    "Equal": binary(jnp.equal),
    "Greater": binary(jnp.greater),
    "GreaterOrEqual": binary(jnp.greater_equal),
    "Less": binary(jnp.less),
    "LessOrEqual": binary(jnp.less_equal),
    "Mod": modulo,
    "Mul": binary(jnp.multiply),
    "Or": binary(jnp.logical_or),
    "Pow": power,
    "PRelu": prelu,
    "Sub": binary(jnp.subtract),
    "Xor": binary(jnp.logical_xor),
    # Of several.
    "Max": variadic(jnp.maximum),
    "Mean": mean,
    "Min": variadic(jnp.minimum),
    "Sum": variadic(jnp.add),
    "Where": where,
}

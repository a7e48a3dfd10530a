"""Element by element: arithmetic, comparisons, activation functions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, nn
from jax.scipy import special

from rfp_jax._util.trees import Given
from rfp_jax.convert._aten.broadcast import Operation, align, along, broadcast


def add(x: Given, y: Given, *, alpha: Given = 1) -> jax.Array:
    """`x + alpha y`."""
    return broadcast(jnp.add)(x, _times(y, alpha))


def subtract(x: Given, y: Given, *, alpha: Given = 1) -> jax.Array:
    """`x - alpha y`."""
    return broadcast(jnp.subtract)(x, _times(y, alpha))


def divide(x: Given, y: Given, *, rounding_mode: str | None = None) -> jax.Array:
    """`x / y`, rounded down, towards zero, or not at all."""
    if rounding_mode is None:
        return broadcast(jnp.true_divide)(x, y)
    if rounding_mode == "floor":
        return broadcast(jnp.floor_divide)(x, y)
    x, y = align(x, y)
    if not jnp.issubdtype(jnp.result_type(x, y), jnp.integer):
        return jnp.trunc(x / y)
    quotient = jnp.floor_divide(x, y)  # rounded down: one too low below zero
    return quotient + ((quotient * y != x) & (quotient < 0))


def _times(y: Given, factor: Given) -> Given:
    return y if isinstance(factor, (int, float)) and factor == 1 else y * factor


def clamp(x: jax.Array, low: Given = None, high: Given = None) -> jax.Array:
    """`min(max(x, low), high)`, each bound optional."""
    x = x if low is None else broadcast(jnp.maximum)(x, low)
    return x if high is None else broadcast(jnp.minimum)(x, high)


def elu(x: jax.Array, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> jax.Array:
    """`scale x` above 0, `scale alpha (exp(input_scale x) - 1)` below."""
    return scale * jnp.where(x > 0, x, alpha * jnp.expm1(input_scale * jnp.where(x > 0, 0.0, x)))


def softplus(x: jax.Array, beta: float = 1, threshold: float = 20) -> jax.Array:
    """`log(1 + exp(beta x)) / beta`; x itself where beta x is above the threshold."""
    return jnp.where(x * beta > threshold, x, nn.softplus(x * beta) / beta)


def gelu(x: jax.Array, *, approximate: str = "none") -> jax.Array:
    """`x Phi(x)`, exact or by tanh."""
    return nn.gelu(x, approximate=approximate == "tanh")


def prelu(x: jax.Array, weight: jax.Array) -> jax.Array:
    """`max(x, 0) + weight min(x, 0)`, one weight, or one per channel of axis 1."""
    weight = along(1, weight, x.ndim) if weight.size > 1 else weight.reshape(())
    return jnp.where(x > 0, x, weight * x)


def glu(x: jax.Array, dim: int = -1) -> jax.Array:
    """The first half times the sigmoid of the second."""
    return nn.glu(x, axis=dim)


def rrelu(
    x: jax.Array,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    _: Given = None,
) -> jax.Array:
    """Leaky ReLU with the mean slope, as in evaluation."""
    if training:
        raise ValueError("rrelu draws random slopes in training mode: export module.eval()")
    return nn.leaky_relu(x, (lower + upper) / 2)


TABLE: dict[str, Operation] = {
    # Arithmetic.
    "add": add,
    "sub": subtract,
    "rsub": lambda x, y, alpha=1: subtract(y, x, alpha=alpha),
    "mul": broadcast(jnp.multiply),
    "div": divide,
    "true_divide": broadcast(jnp.true_divide),
    "floor_divide": broadcast(jnp.floor_divide),
    "remainder": broadcast(jnp.remainder),
    "fmod": broadcast(jnp.fmod),
    "pow": broadcast(jnp.power),
    "addcmul": lambda x, a, b, value=1: add(x, broadcast(jnp.multiply)(a, b), alpha=value),
    "addcdiv": lambda x, a, b, value=1: add(x, broadcast(jnp.divide)(a, b), alpha=value),
    "lerp": lambda x, y, weight: add(x, broadcast(jnp.multiply)(subtract(y, x), weight)),
    "neg": jnp.negative,
    "positive": jnp.positive,
    "abs": jnp.abs,
    "sign": jnp.sign,
    "reciprocal": jnp.reciprocal,
    "square": jnp.square,
    "sqrt": jnp.sqrt,
    "rsqrt": lax.rsqrt,
    "maximum": broadcast(jnp.maximum),
    "minimum": broadcast(jnp.minimum),
    "max.other": broadcast(jnp.maximum),
    "min.other": broadcast(jnp.minimum),
    "fmax": broadcast(jnp.fmax),
    "fmin": broadcast(jnp.fmin),
    "clamp": clamp,
    "clip": clamp,
    "clamp_min": clamp,
    "clamp_max": lambda x, high: clamp(x, None, high),
    # Elementary and special functions.
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log2": jnp.log2,
    "log10": jnp.log10,
    "log1p": jnp.log1p,
    "logaddexp": broadcast(jnp.logaddexp),
    "xlogy": broadcast(special.xlogy),
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "atan2": broadcast(jnp.arctan2),
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "asinh": jnp.arcsinh,
    "acosh": jnp.arccosh,
    "atanh": jnp.arctanh,
    "hypot": broadcast(jnp.hypot),
    "deg2rad": jnp.deg2rad,
    "rad2deg": jnp.rad2deg,
    "logit": lambda x, eps=None: special.logit(x if eps is None else clamp(x, eps, 1 - eps)),
    "logaddexp2": broadcast(jnp.logaddexp2),
    "special_entr": special.entr,
    "special_log1p": jnp.log1p,
    "float_power": broadcast(jnp.float_power),
    "ldexp": broadcast(lambda x, y: x * 2.0**y),
    "copysign": broadcast(jnp.copysign),
    "heaviside": broadcast(jnp.heaviside),
    "sgn": jnp.sign,
    "erf": special.erf,
    "erfc": special.erfc,
    "erfinv": special.erfinv,
    "special_expit": nn.sigmoid,
    "sinc": jnp.sinc,
    "special_log_ndtr": special.log_ndtr,
    "special_ndtr": special.ndtr,
    "lgamma": special.gammaln,
    "digamma": special.digamma,
    "i0": special.i0,
    "special_i0": special.i0,
    "special_i0e": special.i0e,
    "special_i1": special.i1,
    "special_i1e": special.i1e,
    "special_ndtri": special.ndtri,
    # Other names of the same.
    "absolute": jnp.abs,
    "negative": jnp.negative,
    "multiply": broadcast(jnp.multiply),
    "subtract": subtract,
    "divide": divide,
    "fix": jnp.trunc,
    "greater": broadcast(jnp.greater),
    "greater_equal": broadcast(jnp.greater_equal),
    "less": broadcast(jnp.less),
    "less_equal": broadcast(jnp.less_equal),
    "not_equal": broadcast(jnp.not_equal),
    "arcsin": jnp.arcsin,
    "arccos": jnp.arccos,
    "arctan": jnp.arctan,
    "arctan2": broadcast(jnp.arctan2),
    "arcsinh": jnp.arcsinh,
    "arccosh": jnp.arccosh,
    "arctanh": jnp.arctanh,
    "conj_physical": jnp.conj,
    # Rounding and tests.
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "round": jnp.round,
    "round.decimals": jnp.round,
    "trunc": jnp.trunc,
    "frac": lambda x: x - jnp.trunc(x),
    "isnan": jnp.isnan,
    "isinf": jnp.isinf,
    "isfinite": jnp.isfinite,
    "signbit": jnp.signbit,
    "nan_to_num": lambda x, nan=0.0, posinf=None, neginf=None: jnp.nan_to_num(
        x, nan=nan or 0.0, posinf=posinf, neginf=neginf
    ),
    # Comparisons and truth values.
    "eq": broadcast(jnp.equal),
    "ne": broadcast(jnp.not_equal),
    "lt": broadcast(jnp.less),
    "le": broadcast(jnp.less_equal),
    "gt": broadcast(jnp.greater),
    "ge": broadcast(jnp.greater_equal),
    "logical_and": broadcast(jnp.logical_and),
    "logical_or": broadcast(jnp.logical_or),
    "logical_xor": broadcast(jnp.logical_xor),
    "logical_not": jnp.logical_not,
    "bitwise_and": broadcast(jnp.bitwise_and),
    "bitwise_or": broadcast(jnp.bitwise_or),
    "bitwise_xor": broadcast(jnp.bitwise_xor),
    "bitwise_not": jnp.bitwise_not,
    **dict.fromkeys("bitwise_left_shift __lshift__".split(), broadcast(jnp.left_shift)),
    **dict.fromkeys("bitwise_right_shift __rshift__".split(), broadcast(jnp.right_shift)),
    "__and__": broadcast(jnp.bitwise_and),
    "__or__": broadcast(jnp.bitwise_or),
    "__xor__": broadcast(jnp.bitwise_xor),
    "where": broadcast(jnp.where),
    "masked_fill": lambda x, mask, value: broadcast(jnp.where)(mask, value, x),
    # Activation functions.
    "relu": nn.relu,
    "relu6": nn.relu6,
    "leaky_relu": lambda x, slope=0.01: nn.leaky_relu(x, slope),
    "prelu": prelu,
    "_prelu_kernel": lambda x, weight: jnp.where(x > 0, x, weight * x),
    "rrelu": rrelu,
    "elu": elu,
    "selu": nn.selu,
    "celu": lambda x, alpha=1.0: elu(x, alpha, 1, 1 / alpha),
    "gelu": gelu,
    "silu": nn.silu,
    "mish": nn.mish,
    "glu": glu,
    "sigmoid": nn.sigmoid,
    "log_sigmoid": nn.log_sigmoid,
    "softplus": softplus,
    "hardtanh": lambda x, low=-1.0, high=1.0: clamp(x, low, high),
    "hardsigmoid": nn.hard_sigmoid,
    "hardswish": nn.hard_swish,
    "softshrink": lambda x, bound=0.5: x - clamp(x, -bound, bound),
    "hardshrink": lambda x, bound=0.5: jnp.where(jnp.abs(x) > bound, x, 0.0),
    "threshold": lambda x, bound, value: jnp.where(x > bound, x, value),
    # Complex numbers.
    "real": jnp.real,
    "imag": jnp.imag,
    "conj": jnp.conj,
    "_conj": jnp.conj,
    **dict.fromkeys("_conj_physical _conj_physical_".split(), jnp.conj),
    "resolve_conj": lambda z: z,
    "_neg_view": jnp.negative,
    "resolve_neg": lambda x: x,
    "angle": jnp.angle,
    "polar": lambda r, angle: lax.complex(r * jnp.cos(angle), r * jnp.sin(angle)),
    "complex": lax.complex,
    "view_as_real": lambda z: jnp.stack([z.real, z.imag], -1),
    "view_as_complex": lambda x: lax.complex(x[..., 0], x[..., 1]),
}

"""Options of XLA: `jit` for a relevance pass, `run_once`, and the options by themselves."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Hashable, Iterator
from typing import Any, ParamSpec, Protocol, TypeVar

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.stages import Lowered, Traced

from rfp_jax._util.trees import Given, Leaf, is_traced

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Options = dict[str, str | bool]
"""Options of XLA by their names."""

_PLAIN_CONVOLUTIONS: Options = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"
}

_LITTLE_OPTIMIZED: Options = {"xla_backend_optimization_level": "1"}
"""LLVM's first level: compiling costs less, and running not yet more; at level 0 it does."""


class Jitted(Protocol[P, R_co]):
    """A compiled function, which can be had as a program instead, as from `jax.jit`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Compute the function, compiled at the first call of its signature."""
        ...

    def trace(self, *args: P.args, **kwargs: P.kwargs) -> Traced:
        """Return the function as it is traced for arguments, or for their shapes and dtypes."""
        ...

    def lower(self, *args: P.args, **kwargs: P.kwargs) -> Lowered:
        """Return the function as it is lowered, with the options that a call would have."""
        ...


def jit(
    fun: Callable[P, R],
    **options: Any,  # Any: the arguments of `jax.jit`, each of its own type
) -> Jitted[P, R]:
    """`jax.jit` with the options of XLA that suit the platform, the program and its dtypes.

    Whether `compiler_options` help is decided for each signature of the arguments, from the program
    that they give: on a CPU, if it has convolutions and none of them is in double precision. All
    other programs are compiled as by `jax.jit`. Results are the same but for rounding.

    Args:
        fun: the function.
        options: further arguments of `jax.jit`, but `compiler_options`.

    Returns:
        The compiled function, with `trace` and `lower` as from `jax.jit`. Inside another
        transformation it is that of `jax.jit`, since JAX takes options for the outermost `jax.jit`
        only.

    Raises:
        TypeError: if `compiler_options` is among the options.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> import rfp_jax
        >>> explain = rfp_jax.jit(
        ...     rfp_jax.relevance(lambda x, y: jax.nn.relu(x + y), argnums=(0, 1))
        ... )
        >>> [float(r) for r in explain(jnp.array(3.0), jnp.array(-1.0)).sources]
        [3.0, -1.0]
    """
    if "compiler_options" in options:
        raise TypeError("rfp_jax.jit chooses compiler_options itself: use jax.jit to set your own")
    plain = jax.jit(fun, **options)
    chosen: dict[Hashable, Jitted[..., R]] = {}

    def suited(args: tuple[Given, ...], kwargs: dict[str, Given]) -> Jitted[..., R]:
        """Return the `jax.jit` of the function with the options for these arguments."""
        leaves, tree = jax.tree.flatten((args, kwargs))
        if any(is_traced(leaf) for leaf in leaves):
            return plain
        key = tree, tuple(map(_signature, leaves)), jax.default_backend()
        if key not in chosen:
            found = options_for(plain.trace(*args, **kwargs).jaxpr, jax.default_backend())
            chosen[key] = jax.jit(fun, compiler_options=found, **options) if found else plain
        return chosen[key]

    @functools.wraps(fun)
    def compiled(*args: Given, **kwargs: Given) -> R:
        return suited(args, kwargs)(*args, **kwargs)

    def lower(*args: Given, **kwargs: Given) -> Lowered:
        return suited(args, kwargs).lower(*args, **kwargs)

    both: Any = compiled  # Any: a function with attributes is a `Jitted` for no type checker
    both.trace, both.lower = plain.trace, lower
    return both


def run_once(fun: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a program that runs only once, and spend little on compiling it.

    On a CPU, LLVM takes most of the time that a program of ten thousands of equations is compiled
    in. It gets its first level of optimization: what lies below would be paid back by the run.

    Args:
        fun: the function.
        args: its arguments.
        kwargs: further ones, by name.

    Returns:
        What it returns.

    Examples:
        >>> import jax.numpy as jnp
        >>> print(run_once(lambda x: 2 * x, jnp.array(3.0)))
        6.0
    """
    platform, traced = jax.default_backend(), jax.jit(fun).trace(*args, **kwargs)
    options = options_for(traced.jaxpr, platform)
    if platform == "cpu" and not jax.config.read("jax_disable_most_optimizations"):
        options = options | _LITTLE_OPTIMIZED
    return traced.lower().compile(compiler_options=options)(*args, **kwargs)


def options_for(program: ClosedJaxpr, platform: str) -> Options:
    """Options that suit a program on a platform.

    Args:
        program: what was traced.
        platform: `"cpu"`, `"gpu"` or `"tpu"`.

    Returns:
        `compiler_options(platform)` if the program has convolutions, none in double precision;
        otherwise none.
    """
    sizes = [
        variable.aval.dtype.itemsize
        for equation in _equations(program.jaxpr)
        if equation.primitive.name == "conv_general_dilated"
        for variable in equation.outvars
    ]
    return compiler_options(platform) if sizes and max(sizes) <= 4 else {}


def _equations(jaxpr: Jaxpr) -> Iterator[Any]:  # Any: JAX declares no dtype of variables
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: isinstance(v, Jaxpr | ClosedJaxpr)
        ):
            if isinstance(value, ClosedJaxpr):
                yield from _equations(value.jaxpr)
            elif isinstance(value, Jaxpr):
                yield from _equations(value)


def _signature(leaf: Leaf) -> Hashable:
    """Parts of an argument on which its program depends."""
    try:
        return _OF_JAX_ARRAY(leaf)
    except AttributeError:
        pass
    if isinstance(leaf, bool | int | float | complex):
        return type(leaf)
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return leaf.shape, leaf.dtype, False
    return leaf  # static


_OF_JAX_ARRAY = operator.attrgetter("shape", "dtype", "weak_type")
"""First, and in C: most arguments are arrays of JAX, and many at each call."""


def compiler_options(platform: str | None = None) -> Options:
    """Options of `jax.jit` with which XLA runs relevance passes of convolutional networks fastest.

    `rfp_jax.jit` gives them where they help. In double precision they make convolutions an order of
    magnitude slower, and a network without convolutions somewhat slower.

    On a CPU, XLA compiles a chain of convolutions, ReLUs and pooling into one kernel of YNNPACK's.
    That is fast as long as nobody needs what is in between. Relevance does, since each activation
    decides which contributions pass, and YNNPACK is slow to write out a convolution's result
    (docs/performance.md has the times). With these options it multiplies matrices and reduces, and
    convolutions are XLA's own. Results are the same but for rounding.

    The option is an experimental one of XLA's, so XLA is asked whether it knows it. JAX takes
    options for the outermost `jax.jit` only.

    Args:
        platform: `"cpu"`, `"gpu"` or `"tpu"`; JAX's default backend if not given.

    Returns:
        Names and values, for `jax.jit(..., compiler_options=...)`; empty where the defaults are
        right.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> import rfp_jax
        >>> explain = jax.jit(
        ...     rfp_jax.relevance(lambda x, y: jax.nn.relu(x + y), argnums=(0, 1)),
        ...     compiler_options=rfp_jax.compiler_options(),
        ... )
        >>> [float(r) for r in explain(jnp.array(3.0), jnp.array(-1.0)).sources]
        [3.0, -1.0]
    """
    platform = jax.default_backend() if platform is None else platform
    return dict(_PLAIN_CONVOLUTIONS) if platform == "cpu" and _is_known() else {}


@functools.cache
def _is_known() -> bool:
    """Return whether this version of XLA knows the options."""
    with jax.default_device(jax.devices("cpu")[0]):
        lowered = jax.jit(lambda x: x).lower(np.float32(0))
    try:
        lowered.compile(_PLAIN_CONVOLUTIONS)
    except jax.errors.JaxRuntimeError:
        return False
    return True

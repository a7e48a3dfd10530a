"""What to tell XLA about a relevance pass."""

from __future__ import annotations

import functools

import jax
import numpy as np

_PLAIN_CONVOLUTIONS: dict[str, str | bool] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"
}


def compiler_options(platform: str | None = None) -> dict[str, str | bool]:
    """Options of `jax.jit` with which XLA runs relevance passes of convolutional networks fastest.

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

"""Convolutions written to memory on a CPU, for the maintainers of XLA: JAX alone is needed."""

import time

import jax
from jax import lax

OTHERS = "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"
OPTIONS = {"default": {}, "without YNNPACK": {"xla_cpu_experimental_ynn_fusion_type": OTHERS}}


def written(x: jax.Array, w: jax.Array) -> jax.Array:
    """A convolution whose result is written out."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=numbers)


def pooled(x: jax.Array, w: jax.Array) -> jax.Array:
    """The same, max-pooled at once."""
    window = (1, 2, 2, 1)
    return lax.reduce_window(written(x, w), -float("inf"), lax.max, window, window, "VALID")


def main(batch: int = 500, rounds: int = 9) -> None:
    """Print the quickest turn of both, with and without YNNPACK's convolutions."""
    x = jax.random.normal(jax.random.key(0), (batch, 26, 12, 32))
    w = jax.random.normal(jax.random.key(1), (3, 3, 32, 64))
    for name, options in OPTIONS.items():
        for fun in (written, pooled):
            run, seconds = jax.jit(fun, compiler_options=options), []
            for _ in range(rounds):
                start = time.perf_counter()
                jax.block_until_ready(run(x, w))
                seconds.append(time.perf_counter() - start)
            print(f"{name}, {fun.__name__}: {1e3 * min(seconds):.1f} ms")


if __name__ == "__main__":
    main()

"""A user's program, right but for two lines that a type checker is to find."""

PROGRAM = """
import jax
import jax.numpy as jnp
import rfp_jax


def network(params: dict[str, jax.Array], optical: jax.Array, sar: jax.Array) -> jax.Array:
    return optical @ params["w"] + sar


def with_aux(x: jax.Array) -> tuple[jax.Array, str]:
    return 2 * x, "twice"


x = jnp.ones((2, 2))
explain = rfp_jax.relevance(network, argnums=(1, 2), outputs="argmax", bias="share")
rel = explain({"w": x}, x, sar=x)
total = rel.bias + sum(rel.sources)
rel_of_twice, aux = rfp_jax.relevance(with_aux, has_aux=True)(x)
print(rel_of_twice.sources, aux, rfp_jax.audit(network, (1, 2))({"w": x}, x, x).passed)
print(rfp_jax.gate(network, (1, 2))({"w": x}, x, x).shape, rfp_jax.heatmap(jnp.tanh)(x))
print(jax.jit(rfp_jax.relevance(lambda a, b: a * b, (0, 1)))(x, x).bias)
explain({"w": x}, "optical", x)  # planted: no array
rfp_jax.relevance(network, argnum=1)  # planted: no such option
"""

"""Print, as JSON, what a forward pass and relevance move between eight simulated devices.

Run in a process of its own: the number of devices is fixed when JAX starts.
"""

import json
import math
import re

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import rfp_jax

LAYOUTS = {  # how weights [in, out] and sources [batch, features] are split
    "batch": (PartitionSpec(), PartitionSpec("device")),
    "weights and batch": (PartitionSpec("device"), PartitionSpec("device")),
    "features": (PartitionSpec(None, "device"), PartitionSpec()),
}
COLLECTIVE = re.compile(
    r"= (.*?) (?:all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)(?:-start)?\("
)
BYTES = {"f32": 4, "s32": 4, "pred": 1}


def network(weights, optical, sar):
    seen = jax.nn.relu(optical @ weights["optical"]) + jax.nn.relu(sar @ weights["sar"])
    return jax.nn.gelu(seen @ weights["joint"] + 1) @ weights["head"]


def moved(compiled):
    """Bytes of all results of collectives in a compiled program."""
    shapes = [
        shape
        for line in compiled.as_text().splitlines()
        if (found := COLLECTIVE.search(line))
        for shape in re.findall(r"(f32|s32|pred)\[([\d,]*)\]", found[1])
    ]
    return sum(
        BYTES[dtype] * math.prod(map(int, filter(None, dims.split(",")))) for dtype, dims in shapes
    )


def main():
    keys = iter(jax.random.split(jax.random.key(0), 6))
    sizes = {"optical": (64, 128), "sar": (32, 128), "joint": (128, 128), "head": (128, 16)}
    weights = {name: jax.random.normal(next(keys), size) for name, size in sizes.items()}
    optical, sar = jax.random.normal(next(keys), (32, 64)), jax.random.normal(next(keys), (32, 32))
    explained = rfp_jax.relevance(network, argnums=(1, 2))
    alone = explained(weights, optical, sar)
    mesh = jax.make_mesh((8,), ("device",), (AxisType.Auto,))
    found = {}
    for name, (split, batch) in LAYOUTS.items():
        put = jax.tree.map(lambda w, s=split: jax.device_put(w, NamedSharding(mesh, s)), weights)
        sources = [jax.device_put(x, NamedSharding(mesh, batch)) for x in (optical, sar)]
        forward = jax.jit(network).lower(put, *sources).compile()
        relevance = jax.jit(explained).lower(put, *sources).compile()
        pairs = zip(jax.tree.leaves(relevance(put, *sources)), jax.tree.leaves(alone), strict=True)
        gap = max(float(jnp.abs(here - there).max()) for here, there in pairs)
        found[name] = {
            "devices": len(mesh.devices),
            "forward": moved(forward),
            "relevance": moved(relevance),
            "gap": gap / float(jnp.abs(alone.output).max()),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()

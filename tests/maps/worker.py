"""Write a map in a process of its own: python worker.py FOLDER [PROCESS COUNT COORDINATOR].

FOLDER holds a.tif and b.tif; the map is FOLDER/map.zarr.
"""

import os
import sys

if __name__ == "__main__" and len(sys.argv) > 2:
    os.environ["JAX_PROCESS_ID"], os.environ["JAX_NUM_PROCESSES"] = sys.argv[2:4]
    os.environ["JAX_COORDINATOR_ADDRESS"] = sys.argv[4]

import jax
import jax.numpy as jnp

from rfp_jax import maps
from rfp_jax.tables import join


def network(_, a, b):
    x = jnp.concatenate([a, b], -1)
    far = jnp.pad(x, ((0, 0), (3, 0), (0, 0), (0, 0)))[:, :-3]  # looks 3 pixels up
    return jnp.stack([x[..., 0] * 2 - far[..., 1] + 0.5, jax.nn.relu(far.sum(-1))], -1)


def write(folder, **options):
    """The map of the two files in a folder."""
    sources = {"a": f"{folder}/a.tif", "b": f"{folder}/b.tif"}
    options = {"tile": 16, "progress": False, **options}
    return maps.relevance(network, None, sources, f"{folder}/map.zarr", **options)


if __name__ == "__main__":
    join()
    write(sys.argv[1])
    print("done", flush=True)

# %% [markdown]
# # A cluster
#
# Relevance of a large data set or scene is computed in pieces: batches on all devices of all
# hosts, tiles of scenes by Dask where that is your engine. Both must give the numbers of one
# machine. Here four pretended devices and two worker processes stand for the cluster; [Several
# GPUs, several hosts](../../clusters/) has the job scripts. Nothing here was run on a real one.

# %%
# %matplotlib inline
import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import tempfile

import jax
import numpy as np
import rioxarray  # noqa: F401  (an engine of xarray)
import xarray as xr
from dask import distributed
from matplotlib.figure import Figure

from experiments.maps_dask import CHUNK, SIDE, network, parameters, with_dask, write_scene
from rfp_jax import maps, tables
from rfp_jax.datasets import MultiSource, load_digits

folder = tempfile.mkdtemp()

# %% [markdown]
# ## A table on one device, and on four
#
# `evaluate` gives every device batches of its own, and commits chunks; processes started by SLURM
# or Kubernetes share the chunks after `tables.join()`. The files of both tables are compared
# here.

# %%
digits = MultiSource(load_digits("test")).arrays()
samples = [
    {"left": left, "right": right, "label": label}
    for left, right, label in zip(*digits["images"], digits["label"], strict=True)
]
weights = np.random.default_rng(0).normal(size=(32, 10)).astype(np.float32)


def scores(weights, left, right):
    both = [jax.nn.relu(half.reshape(len(half), -1) @ weights) for half in (left, right)]
    return both[0] * both[1] + both[0]


found = {}
for count in (1, 4):
    found[count] = tables.evaluate(
        scores,
        samples,
        f"{folder}/{count}.zarr",
        params=weights,
        sources=("left", "right"),
        classes=[str(digit) for digit in range(10)],
        run=tables.RunOptions(devices=jax.devices()[:count], chunk=32, batch=16, progress=False),
    ).load()
print(jax.device_count(), "devices; equal:", found[1].relevance.equals(found[4].relevance))

# %% [markdown]
# ## A scene by Dask
#
# `maps.field` says how far a pixel of the network sees, so blocks with such an overlap give the
# numbers of the whole. Forty lines in `experiments/maps_dask.py` do it with `map_overlap`;
# `maps.relevance` does the same without Dask.

# %%
paths = write_scene(folder)
own = maps.relevance(network, parameters(), paths, outputs="all", tile=CHUNK, progress=False)
chunks = {"band": -1, "y": CHUNK, "x": CHUNK}
bands = [xr.open_dataarray(path, engine="rasterio", chunks=chunks) for path in paths.values()]
workers = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
with distributed.LocalCluster(**workers) as cluster, distributed.Client(cluster):
    theirs = with_dask(*bands).compute()
apart = abs(own.relevance.values - theirs.values)
print(f"{apart.max() / abs(theirs).max().item():.0e} of the greatest apart")

# %% [markdown]
# ## The picture
#
# Relevance of the radar image for the first class, by Dask in blocks (black lines), and its
# difference from the other engine on the same scale. There are no seams. The scene is smooth
# noise and the network is not trained: only the machinery is looked at.

# %%
figure = Figure(figsize=(8, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
shown = left.imshow(theirs[0, 1], cmap="PuOr")
for at in range(CHUNK, SIDE, CHUNK):
    left.axhline(at - 0.5, color="black", lw=0.8)
    left.axvline(at - 0.5, color="black", lw=0.8)
limit = float(abs(theirs[0, 1]).max())
difference = right.imshow(apart[0, 1], cmap="PuOr", vmin=-limit, vmax=limit)
left.set_title("relevance of radar, by Dask")
right.set_title("difference from maps.relevance")
figure.colorbar(shown, ax=[left, right], shrink=0.8)
figure

# %% [markdown]
# # Radar under clouds
#
# A U-Net with a branch for each sensor names the land cover of every pixel. Where a cloud hides
# the ground, does radar take over? The archive is **synthetic** (SEN12MS's layout; a few patches
# of 64 x 64 pixels), so the numbers say nothing about real data; the experiment with more
# networks and patches is `python -m experiments.segmentation demo`.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich.console import Console

import rfp_jax as rfp
from experiments.segmentation.explaining import pairs
from experiments.segmentation.settings import Networks, Run
from experiments.segmentation.training import train
from rfp_jax.datasets.sen12ms import CLASSES, denormalize_s2, synthesize

folder = Path(tempfile.mkdtemp())
synthesize(folder / "archive", 300, size=64, seed=42)
networks = Networks(epochs=24, crop=32)
run = Run(folder / "archive", size=64, networks=networks, out=folder / "run")

# %% [markdown]
# ## Training
#
# Seven of ten patches have a cloudy twin; 70 % of them show it in training, drawn anew in each
# epoch.

# %%
variables = train(run, seed=42, folder=folder / "network", console=Console(quiet=True))

# %% [markdown]
# ## Relevance of every pixel
#
# One call divides all ten outputs of all pixels between both sensors. `bias="share"` gives the
# biases of the network to the sensors, so that a share is of the whole output. Each patch is
# explained twice: clear, and as its cloudy twin. Radar is the same in both, so the difference is
# what the cloud does.


# %%
explain = rfp.jit(rfp.relevance(run.model.apply, (1, 2), bias="share"))


def share_of_radar(images):
    """The share of radar in the relevance of the predicted class, and that class, [batch, y, x]."""
    rel = explain(variables, *images)
    best = rel.output.argmax(-1)
    _, radar = rel.share()
    return np.take_along_axis(np.asarray(radar), best[..., None], -1)[..., 0], np.asarray(best)


batches = list(pairs(run))
mask = np.concatenate([batch.mask[: batch.real] for batch in batches])
truth = np.concatenate([batch.land_cover[: batch.real] for batch in batches])
for condition in ("clear", "cloudy"):
    found = [(*b.images[condition], *share_of_radar(b.images[condition])) for b in batches]
    optical, radar, share, best = (
        np.concatenate([part[: b.real] for part, b in zip(parts, batches, strict=True)])
        for parts in zip(*found, strict=True)
    )
    for place, where in {"under clouds": mask, "beside them": ~mask}.items():
        right = np.mean((best == truth)[where])
        print(
            f"{condition:6} {place:12} share of radar {share[where].mean():.2f}, right {right:.2f}"
        )

# %% [markdown]
# ## The picture
#
# Three patches under clouds. At every pixel both shares add up to 1: where the optical image shows
# a cloud, dark orange says that the class came from radar.

# %%
figure = Figure(figsize=(9, 6.4), layout="constrained")
grid, chosen = figure.subplots(3, 5), np.argsort(abs(mask.mean((1, 2)) - 0.5))[:3]
for row, at in zip(grid, chosen, strict=True):
    row[0].imshow((denormalize_s2(optical[at])[..., 2::-1] / 3000).clip(0, 1))
    row[1].imshow(radar[at, ..., 0], cmap="gray")
    row[2].imshow(best[at], cmap="tab10", vmin=0, vmax=9)
    row[3].imshow(1 - share[at], cmap="Blues", vmin=0, vmax=1)
    row[4].imshow(share[at], cmap="Oranges", vmin=0, vmax=1)
    for ax in row[[0, 3, 4]]:
        ax.contour(mask[at], levels=[0.5], colors="black", linewidths=0.8)
titles = ("optical image", "radar image", "class named", "share of optical", "share of radar")
for ax, title in zip(grid[0], titles, strict=True):
    ax.set_title(title, fontsize=10)
for ax in grid.flat:
    ax.set(xticks=[], yticks=[])
for column in (3, 4):
    figure.colorbar(grid[0, column].images[0], ax=grid[:, column], location="bottom")
names = {int(k): CLASSES[10][k] for k in np.unique(best[chosen])}
patches = [Patch(color=colormaps["tab10"](k), label=name) for k, name in names.items()]
title = "Synthetic patches. Black: the edge of the cloud. Classes named:"
figure.legend(handles=patches, title=title, loc="outside lower center", ncols=5, frameon=False)
figure

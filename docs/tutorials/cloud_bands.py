# %% [markdown]
# # Which bands make a cloud
#
# A network that others trained (the cloud mask of DLR, from the package `ukis-csmask`), on a real
# Sentinel-2 image (from `spyndex`). The image has no cloud, so one is **painted** on it. Which
# band speaks for cloud, which for shadow, pixel by pixel? The whole experiment, compared with the
# package's own mask, is `python -m experiments.clouds`.

# %%
# %matplotlib inline
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import rfp_jax as rfp
from experiments.clouds.figures import BAND_COLORS
from experiments.clouds.images import paint_clouds, real_image
from experiments.clouds.network import CLASSES, package_file, read_network

network = read_network(package_file("l2a"))  # an ONNX file, read by rfp_jax.convert.from_onnx
image = paint_clouds(real_image(), seed=1).reflectance[:256, :256]
window = ((image - network.mean) / network.std).transpose(2, 0, 1)[None].astype(np.float32)
network.bands, window.shape

# %% [markdown]
# ## Four sources in one array
#
# The bands are channels of one input. `split=` makes each of them a source; `bias="propagate"`
# follows the biases like one more, so that the sum of all parts can be checked against the
# output.

# %%
bands = rfp.sources.groups({name: k for k, name in enumerate(network.bands)}, axis=1)
explain = rfp.jit(rfp.relevance(network.fun, 1, split=bands, bias="propagate"))
rel = explain(network.params, window)
off = abs(sum(rel.sources.values()) + rel.bias - rel.output).max() / abs(rel.output).max()
print(f"{rel.output.size} outputs; parts minus output: {off:.0e} of the greatest")

# %% [markdown]
# A common constant on all three logits changes no class, so each band's part of *a logit minus
# the mean of the three* is what speaks for a class.

# %%
parts = np.stack([np.asarray(rel.sources[name])[0] for name in network.bands])
evidence = parts - parts.mean(1, keepdims=True)  # [band, class, y, x]
mask = np.asarray(rel.output)[0].argmax(0)
for k, name in enumerate(CLASSES):
    means = evidence[:, k, mask == k].mean(-1)
    words = (f"{b} {m:+.1f}" for b, m in zip(network.bands, means, strict=True))
    print(f"{name:10} {np.mean(mask == k):4.0%} of the pixels:", ", ".join(words))

# %% [markdown]
# ## The picture

# %%
colors = np.array([to_rgb(BAND_COLORS[band]) for band in network.bands])
figure = Figure(figsize=(10, 3.1), layout="constrained")
axes = figure.subplots(1, 4)
axes[0].imshow((image[..., 2::-1] / 0.35).clip(0, 1) ** 0.7)
axes[1].imshow(np.array([0.75, 1.0, 0.2])[mask], cmap="gray", vmin=0, vmax=1)
for ax, name in zip(axes[2:], CLASSES[1:], strict=True):
    speaking = evidence[:, CLASSES.index(name)]
    first = np.where(speaking.max(0) > 0, speaking.argmax(0), -1)
    ax.imshow(np.concatenate([colors, np.ones((1, 3))])[first])
titles = ("cloud and shadow PAINTED", "mask", "speaks most for cloud", "speaks most for shadow")
for ax, title in zip(axes, titles, strict=True):
    ax.set_title(title, fontsize=10)
    ax.set(xticks=[], yticks=[])
handles = [Patch(color=c, label=b) for c, b in zip(colors, network.bands, strict=True)]
figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
figure

# %% [markdown]
# Blue and near infrared speak for cloud, red against it; red speaks for shadow, green against it.
# The answer is the network's, not that of physics: it tells what these weights do with this image.

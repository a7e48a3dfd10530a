# %% [markdown]
# # Your GeoTIFF pairs
#
# From two folders of GeoTIFFs and a list of classes to a page that can be shown in a meeting. The
# pixels are real: a Sentinel-2 image of the package `spyndex`, cut into 100 tiles, the visible
# bands in one folder, near infrared in the other. The image does not say where it is, so the
# coordinates are **made up**; the class, how green a tile is, is computed from it.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import rasterio
import spyndex
from matplotlib.figure import Figure
from rasterio.transform import from_origin
from sklearn.neural_network import MLPClassifier

from rfp_jax import tables
from rfp_jax.datasets.rasters import Raster, Rasters

CLASSES, SIDE = ("bare", "mixed", "green"), 30
image = spyndex.datasets.open("sentinel").values  # blue, green, red, near infrared x 10,000
ndvi = (image[3] - image[2]) / (image[3] + image[2])
ndvi = ndvi.reshape(10, SIDE, 10, SIDE).mean((1, 3)).ravel()
kind = np.searchsorted(np.quantile(ndvi, [1 / 3, 2 / 3]), ndvi)
root = Path(tempfile.mkdtemp())
for folder, bands in {"visible": image[:3], "infrared": image[3:]}.items():
    (root / folder).mkdir()
    for tile in range(100):
        y, x = SIDE * (tile // 10), SIDE * (tile % 10)
        form = {"width": SIDE, "height": SIDE, "count": len(bands), "dtype": "uint16"}
        form |= {"crs": "EPSG:32633", "transform": from_origin(6e5 + 10 * x, 52e5 - 10 * y, 10, 10)}
        with rasterio.open(root / folder / f"{tile:02}.tif", "w", driver="GTiff", **form) as file:
            file.write(bands[:, y : y + SIDE, x : x + SIDE].astype(np.uint16))
lines = "".join(f"{tile:02},{CLASSES[k]}\n" for tile, k in enumerate(kind))
_ = (root / "classes.csv").write_text("tile,class\n" + lines)

# %% [markdown]
# ## From here on it is your folder
#
# `Rasters` pairs files by the fields of their names, reads each pair when it is asked for it, and
# refuses pairs that do not show the same ground.

# %%
files = {n: Raster(n + "/{tile}.tif", scale=(1e-4, 0.0)) for n in ("visible", "infrared")}
pairs = Rasters(root, files, label="class", table=root / "classes.csv")


def network(params, visible, infrared):
    # scores [batch, 3] of images [batch, y, x, band]: means, a hidden layer, an output layer
    (hidden, out), (first, second) = params
    means = jnp.concatenate([visible.mean((1, 2)), infrared.mean((1, 2))], -1)
    return jnp.maximum(20 * means @ hidden + first, 0) @ out + second


read = [pairs[tile] for tile in range(0, 100, 2)]  # every second tile
means = [np.concatenate([pair[name].mean((0, 1)) for name in files]) for pair in read]
trained = MLPClassifier(16, max_iter=5000, random_state=0).fit(20 * np.array(means), kind[::2])

# %% [markdown]
# ## The table and the page
#
# One call for all pairs; a pair that cannot be read would be a row that says why. The page is one
# HTML file with pictures, to sort and to filter, that asks no network for anything.

# %%
table = tables.evaluate(
    network,
    pairs,
    root / "pairs.zarr",
    params=(trained.coefs_, trained.intercepts_),
    sources=tuple(files),
    classes=CLASSES,
    run=tables.RunOptions(progress=False),
).load()
pictures = tables.thumbnails(pairs, {"visible": (2, 1, 0), "infrared": 0})
tables.report(table, root / "pairs.html", title="Visible and infrared", pictures=pictures)
print("right on the other half:", float((table.prediction == table.label)[1::2].mean()))
share = tables.share(table)
tables.by_class(share, table["class"]).to_pandas().round(2)

# %% [markdown]
# ## The picture
#
# The image, the class of each tile (the greener, the darker), and the share of infrared in the
# decision for its class.

# %%
figure = Figure(figsize=(9, 3), layout="constrained")
axes = figure.subplots(1, 3)
axes[0].imshow((image[2::-1].transpose(1, 2, 0) / 2000).clip(0, 1))
axes[1].imshow(kind.reshape(10, 10), cmap="YlGn")
infrared = share.sel(source="infrared").values.reshape(10, 10)
shown = axes[2].imshow(infrared, cmap="Oranges", vmin=0, vmax=1)
for ax, title in zip(axes, ("image", "class", "share of infrared"), strict=True):
    ax.set(xticks=[], yticks=[], title=title)
figure.colorbar(shown, ax=axes[2], shrink=0.8)
figure

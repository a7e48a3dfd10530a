# %% [markdown]
# # Beginning or end of a file
#
# `magika` is a network that tells 214 kinds of files from bytes. Its model 3.3 (in the package
# `magika` 1.0.3, ONNX) reads the first and the last 1,024 bytes; earlier ones read the middle,
# too. The two windows are two sources: which of them gave a kind away? The files are written here
# by Python itself, or come with it.

# %%
# %matplotlib inline
import gzip
import io
import json
import sqlite3
import sys
import zipfile
from importlib.metadata import files
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from matplotlib.figure import Figure

import rfp_jax as rfp
from rfp_jax import plot
from rfp_jax.convert import from_onnx

WINDOW, PADDING = 1024, 256
(model,) = (f.locate() for f in files("magika") if f.name == "model.onnx")
labels = json.loads((model.parent / "config.min.json").read_text())["target_labels_space"]

# %% [markdown]
# ## The files, and the network's view of them

# %%
source, icons = Path(json.__file__).read_bytes(), Path(get_data_path(), "images")
packed, base = io.BytesIO(), sqlite3.connect(":memory:")
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write(json.__file__)
base.execute("create table pairs (id, label)")
contents = {
    "py": source,
    "zip": packed.getvalue(),
    "gzip": gzip.compress(source),
    "sqlite": base.serialize(),
    "elf": Path(sys.executable).resolve().read_bytes(),
    "svg": (icons / "subplots.svg").read_bytes(),
    "pdf": (icons / "home.pdf").read_bytes(),
    "ttf": (icons.parent / "fonts/ttf/DejaVuSans.ttf").read_bytes(),
}


def windows(content):
    """The first and the last bytes without white space around them, and padding."""
    first, last = content.lstrip()[:WINDOW], content.rstrip()[-WINDOW:]
    filled = np.full(2 * WINDOW, PADDING)
    filled[: len(first)], filled[2 * WINDOW - len(last) :] = list(first), list(last)
    return filled


read = np.array([windows(content) for content in contents.values()], np.int32)
one_hot = np.eye(257, dtype=np.float32)[read]
hidden = one_hot.copy()
hidden[:, :WINDOW] = np.eye(257)[PADDING]  # the first window taken away

# %% [markdown]
# ## Relevance of both windows
#
# Bytes are integers and cannot be scaled; the source is the one-hot code that the network makes
# of them. `inputs=` takes the network up there (it still asks for the bytes, for their shape),
# and `outputs=` asks for logits instead of probabilities.

# %%
path = "jax2tf_get_logits_/pjit_get_logits_"
code, logits = f"{path}/pjit__one_hot_/Cast_1:0", f"{path}/MagikaV2/Dense_1/AddV2:0"
fun, params = from_onnx(model, inputs=[code, "bytes"], outputs=[logits])  # bytes: their shape
heat = rfp.jit(rfp.heatmap(fun, 1))(params, one_hot, read)  # for the greatest logit of each file
by_byte = np.asarray(heat).sum(-1)  # [file, position]
kinds, guesses = (np.argmax(fun(params, x, read), -1) for x in (one_hot, hidden))
for name, found, kind, guess in zip(contents, by_byte, kinds, guesses, strict=True):
    first, last = found[:WINDOW].sum(), found[WINDOW:].sum()
    print(f"{name} is {labels[kind]}: {first:.1f}, {last:.1f}; without the first: {labels[guess]}")

# %% [markdown]
# ## The picture
#
# Each row is a file, each column 16 bytes: left of the line its beginning, right of it its end.
# Red speaks for the kind, blue against it; each file has its own scale.

# %%
figure = Figure(figsize=(9, 3.2), layout="constrained")
ax = figure.subplots()
blocks = by_byte.reshape(len(contents), -1, 16).sum(-1)
blocks /= abs(blocks).max(1, keepdims=True)
ax.imshow(blocks, cmap=plot.RELEVANCE_COLORS, vmin=-1, vmax=1, aspect="auto")
ax.axvline(WINDOW / 16 - 0.5, color="black", lw=1)
ax.set_yticks(range(len(contents)), contents)
ax.set_xticks([0, 63, 127], ["first byte", "1,024th | 1,024th from the end", "last byte"])
figure

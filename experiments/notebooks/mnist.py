# %% [markdown]
# # Which half of a digit does a network read?
#
# The left and the right half of real handwritten digits are two sources. A network learns to name
# the digit; relevance tells how much of every class's score came from which half.
# `python -m experiments.mnist playground` does the same in one command.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

from rich.console import Console

import rfp_jax
from experiments.mnist.evaluate import evaluate, table_path
from experiments.mnist.settings import Settings
from experiments.mnist.train import train
from rfp_jax import attribution, plot, tables

# %% tags=["parameters"]
epochs = 10

# %% [markdown]
# ## Data
#
# Every setting of the two sources is one of `Settings().samples`: noise, shuffled pixels, the whole
# image twice, sums of two digits.

# %%
settings = Settings(epochs=epochs)
test = settings.load("test").arrays()
images = dict(zip(settings.sources, test["images"], strict=True))
plot.grid({name: image[:20] for name, image in images.items()}, [*map(str, test["label"][:20])])

# %% [markdown]
# ## Training
#
# The network is the paper's SmallNet, padded for images this small: a branch for each source, then
# two dense layers.

# %%
folder = Path(tempfile.mkdtemp())
variables = train(settings, folder / "cross_entropy", Console(quiet=True))
print((folder / "cross_entropy" / "metrics.json").read_text()[-150:])

# %% [markdown]
# ## Relevance of a batch
#
# One call gives the relevance of both halves for all ten classes. Bias and relevances add up to the
# output.

# %%
explain = rfp_jax.jit(rfp_jax.relevance(settings.network.apply, argnums=(1, 2)))
relevance = explain(variables, *(image[:8] for image in test["images"]))
total = relevance.bias + sum(relevance.sources)
print(relevance.sources[0].shape, abs(total - relevance.output).max())

# %%
plot.examples(
    {name: image[:8] for name, image in images.items()},
    dict(zip(settings.sources, relevance.sources, strict=True)),
    relevance.bias,
    relevance.output,
    test["label"][:8],
)

# %% [markdown]
# ## Relevance of a data set
#
# `rfp_jax.tables.evaluate` does it for any number of samples, into a table on the disk.

# %%
summary = evaluate(settings, folder / "cross_entropy", Console(quiet=True))
summary

# %%
table = tables.open(table_path(folder / "cross_entropy")).load()
tables.by_class(tables.share(table), table["class"]).to_pandas()

# %% [markdown]
# The 7 is read from its right half, the 9 from its left one.

# %%
by_source = {name: table.relevance.sel(source=name).values for name in settings.sources}
plot.violins(by_source, table.label.values)

# %% [markdown]
# ## Other methods
#
# Shapley values of the accuracy, for instance, see the halves on equal terms.

# %%
shape = attribution.shape_score(settings.network.apply, argnums=(1, 2))
dict(zip(settings.sources, shape(test["label"], variables, *test["images"]), strict=True))

# %% [markdown]
# ## Relevance as a training signal
#
# With a relevance loss every half learns to speak for the digit on its own.

# %%
asked = Settings(epochs=epochs, relevance_loss=1.0)
train(asked, folder / "relevance_loss", Console(quiet=True))
evaluate(asked, folder / "relevance_loss", Console(quiet=True))["accuracy"]

# %%
other = tables.open(table_path(folder / "relevance_loss")).load()
networks = {settings.words: table, asked.words: other}
plot.densities(
    {
        words: {name: each.relevance.sel(source=name).values for name in settings.sources}
        for words, each in networks.items()
    },
    table.label.values,
    classes=[0, 3, 8],
)

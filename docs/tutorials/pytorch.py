# %% [markdown]
# # Your PyTorch fusion network
#
# From an `nn.Module` to a table, figures and a report. The module stays as it is. Here it names
# handwritten digits (real ones, of scikit-learn) from two sources: the left and the right half of
# the image.

# %%
# %matplotlib inline
import tempfile

import torch
from torch import nn

import rfp_jax as rfp
from rfp_jax import plot, tables
from rfp_jax.convert import from_torch
from rfp_jax.datasets import MultiSource, load_digits


class Fusion(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.right = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Sequential(nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, left, right):
        parts = [self.left(left).flatten(1), self.right(right).flatten(1)]
        return self.head(torch.cat(parts, 1))


# %% [markdown]
# ## Training, in PyTorch


# %%
def read(split):
    digits = MultiSource(load_digits(split)).arrays()
    halves = [image.transpose(0, 3, 1, 2) for image in digits["images"]]  # channels first
    return halves, digits["label"]


torch.manual_seed(0)
module, (halves, labels) = Fusion(), read("train")
optimizer = torch.optim.Adam(module.parameters(), 0.003)
for _ in range(150):
    optimizer.zero_grad()
    logits = module(*map(torch.tensor, halves))
    nn.functional.cross_entropy(logits, torch.tensor(labels).long()).backward()
    optimizer.step()
module = module.eval()

# %% [markdown]
# ## Relevance of one batch
#
# `from_torch` reads the module; `check=` runs both on an example and compares them. One call
# gives the relevance of both halves for all ten classes, and what the biases added: together they
# are the output.

# %%
halves, labels = read("test")
fun, params = from_torch(module, check=tuple(half[:8] for half in halves))
print("largest difference from PyTorch:", fun.compared.largest)
explain = rfp.jit(rfp.relevance(fun, argnums=(1, 2)))
rel = explain(params, *(half[:8] for half in halves))
print(rel.sources[0].shape, "off by", abs(rel.bias + sum(rel.sources) - rel.output).max())

# %% [markdown]
# ## The table of all test digits
#
# A data source is anything with a length and an index. The table is an xarray dataset in a
# folder; killed in the middle, the same call goes on.

# %%
names = [str(digit) for digit in range(10)]
folder = tempfile.mkdtemp()
samples = [
    {"left": left, "right": right, "label": label}
    for left, right, label in zip(*halves, labels, strict=True)
]
table = tables.evaluate(
    fun,
    samples,
    f"{folder}/digits.zarr",
    params=params,
    sources=("left", "right"),
    classes=names,
    run=tables.RunOptions(progress=False),
)
tables.by_class(tables.share(table), table["class"]).to_pandas().round(2)

# %% [markdown]
# ## The picture
#
# Each digit beside what its ten outputs are made of. A share near 0.5 in the table above would
# mean that both halves speak alike for the class; here you see which half decides which digit.

# %%
images = {"left": halves[0][:8, 0], "right": halves[1][:8, 0]}
plot.examples(images, table.isel(sample=slice(8)).load())

# %% [markdown]
# ## The report
#
# One HTML page that asks no network for anything: shares by class, a confusion matrix, all
# samples to sort and filter. Next: [what the certificate says](../../audit/).

# %%
tables.report(table, f"{folder}/digits.html", title="Left and right half")
print(rfp.audit(fun, argnums=(1, 2))(params, *(half[:2] for half in halves)).verdict)

# %% [markdown]
# # LRP for PyTorch users
#
# Layer-wise relevance propagation (LRP) of a PyTorch network: Captum's numbers, zennit's
# composites, and all outputs in one pass. The network is a small convolutional one, trained here
# on real digits of 8 x 8 pixels.

# %%
# %matplotlib inline
import timeit

import numpy as np
import torch
from captum.attr import LRP
from matplotlib.figure import Figure
from torch import nn

import rfp_jax as rfp
from rfp_jax import plot, rules
from rfp_jax.convert import from_torch
from rfp_jax.datasets import load_digits


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.relu = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()
        self.second, self.relu_again = nn.Conv2d(16, 32, 2, stride=2), nn.ReLU()
        self.last = nn.Linear(512, 10)

    def forward(self, x):
        x = self.relu_again(self.second(self.relu(self.first(x))))
        return self.last(x.reshape(len(x), -1))


digits = load_digits("train")
images = torch.tensor(digits.images).permute(0, 3, 1, 2).float() / 16
torch.manual_seed(0)
module, labels = Network(), torch.tensor(digits.labels).long()
optimizer = torch.optim.Adam(module.parameters(), 0.003)
for _ in range(100):
    optimizer.zero_grad()
    nn.functional.cross_entropy(module(images), labels).backward()
    optimizer.step()
module = module.eval()

# %% [markdown]
# ## Captum's numbers
#
# Captum's `LRP` has the ε rule with ε = 1e-9 for every layer. Here the rule is an argument.
# `outputs="all"` asks for the heatmaps of all ten outputs; Captum is called once for each of
# them, with hooks on the module.

# %%
batch, x = images[:32], images[:32].numpy()
fun, params = from_torch(module)
ours = rfp.jit(rfp.heatmap(fun, 1, outputs="all", rules=rules.epsilon(1e-9)))


def captum():
    found = [LRP(module).attribute(batch.clone().requires_grad_(), target=k) for k in range(10)]
    return torch.stack(found).detach().numpy()


heat, theirs = ours(params, x), captum()
print("largest difference, of the greatest:", abs(heat - theirs).max() / abs(theirs).max())

# %% [markdown]
# ## The same, forwards
#
# To know how much of each output came from each source (here: the four quarters of the image), no
# heatmap is needed: one forward pass per source answers for all outputs. The sums of the heatmaps
# say the same, which is the theorem of relevance forward propagation. The three are timed in
# turn, on a machine that did other work as well: read the ratios, not the seconds.

# %%
quarter = np.arange(8) // 4
quarters = rfp.sources.segments(quarter[:, None] * 2 + quarter)
forward = rfp.jit(rfp.relevance(fun, 1, split=quarters, rules=rules.epsilon(1e-9)))
rel = forward(params, x)
sums = np.reshape(heat, (10, 32, 2, 4, 2, 4)).sum((3, 5)).reshape(10, 32, 4)
print("forward minus sums of heatmaps:", abs(np.transpose(rel.sources, (2, 1, 0)) - sums).max())

calls = (captum, lambda: np.asarray(ours(params, x)), lambda: np.asarray(forward(params, x)[0]))
rounds = [[timeit.timeit(call, number=1) for call in calls] for _ in range(5)]  # in turn
print("seconds by Captum, heatmaps, forward:", *np.round(np.median(rounds, 0), 4))

# %% [markdown]
# ## zennit's composites, by their names
#
# A composite gives each kind of layer its rule. It is a value, not a set of hooks, so that it
# needs no clean-up.

# %%
chosen = {
    "zero (exact)": "lrp0",
    "EpsilonPlus": rules.EpsilonPlus(),
    "EpsilonPlusFlat": rules.EpsilonPlusFlat(),
    "EpsilonGammaBox": rules.EpsilonGammaBox(0.0, 1.0),
}
figure = Figure(figsize=(7, 3.3), layout="constrained")
for row, (name, rule) in zip(figure.subplots(4, 8), chosen.items(), strict=True):
    found = np.asarray(rfp.heatmap(fun, 1, rules=rule)(params, x[:8]))
    for ax, image, heat in zip(row, x[:8, 0], found[:, 0], strict=True):
        plot.draw_heatmap(ax, image, heat, limit=abs(heat).max(), limits=(0, 1))
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right")
figure

# %% [markdown]
# Red speaks for the predicted digit, blue against it; each heatmap has its own scale. The exact
# decomposition is as noisy as the gradient; the others answer how relevance *spreads*. To compare
# sources, keep the exact one. [Named rules](../../named_rules/) has the definitions, and the
# comparison with zennit's own numbers to eleven digits; [Beside other
# tools](../../comparison/) has all of them on the same networks, with times.

# %% [markdown]
# # Image and text
#
# Two real digits stand side by side, and a question asks for one of them: *name the left*. A
# small transformer answers by cross-attention from the words to the patches of the image. How
# much did the text contribute? That depends on the rule for attention, and each says something
# else.

# %%
# %matplotlib inline
import flax.linen as nn
import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import rfp_jax as rfp
from rfp_jax import plot
from rfp_jax.datasets import load_digits

WORDS = ("name", "the", "left", "right")


def pairs(split, count, seed):
    # images [n, 8, 16], one-hot words [n, 3, 4] and the digit that is asked for
    digits, draw = load_digits(split), np.random.default_rng(seed)
    both, side = draw.integers(len(digits.labels), size=(count, 2)), draw.integers(2, size=count)
    images = np.concatenate(digits.images[both.T][..., 0], -1).astype(np.float32) / 16
    words = np.stack([np.zeros(count, int), np.ones(count, int), 2 + side], 1)
    return images, np.eye(4, dtype=np.float32)[words], digits.labels[both[np.arange(count), side]]


class Answer(nn.Module):
    @nn.compact
    def __call__(self, image, words):
        patches = image.reshape(-1, 4, 2, 4, 4).swapaxes(2, 3).reshape(-1, 16, 8)
        place = self.param("place", nn.initializers.normal(0.5), (16, 64))
        order = self.param("order", nn.initializers.normal(0.5), (3, 64))
        seen, asked = nn.Dense(64)(patches) + place, nn.Dense(64)(words) + order
        asked += nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(asked))
        asked += nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(asked), seen)
        hidden = nn.gelu(nn.Dense(128)(nn.LayerNorm()(asked).reshape(len(asked), -1)))
        return nn.Dense(10)(hidden)


model, (image, words, label) = Answer(), pairs("test", 500, 1)
variables, optimizer = model.init(jax.random.key(0), image, words), optax.adam(2e-3)


@jax.jit
def step(variables, state, image, words, label):
    def loss(variables):
        logits = model.apply(variables, image, words)
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, label).mean()

    updates, state = optimizer.update(jax.grad(loss)(variables), state)
    return optax.apply_updates(variables, updates), state


state = optimizer.init(variables)
for number in range(600):
    variables, state = step(variables, state, *pairs("train", 128, 100 + number))
asked = (words, words[:, :, [0, 1, 3, 2]])  # the question, and the one for the other digit
right = [np.mean(model.apply(variables, image, each).argmax(-1) == label) for each in asked]
print("right with the question, with the other one:", *np.round(right, 2))

# %% [markdown]
# ## Rules for attention
#
# `lrp0`, the default, takes attention weights as constants: relevance flows through what is
# attended to (`cp_lrp` does the same). `attnlrp` gives half of each product to the weights, and
# so a part to the question that set them. `uniform` pushes relevance through the softmax itself,
# over differences that may be near 0; look at its size before you read its share.

# %%
found = {}
for rule in ("lrp0", "cp_lrp", "attnlrp", "uniform"):
    explain = rfp.jit(rfp.heatmap(model.apply, (1, 2), outputs=label, rules=rule))
    found[rule] = heat, spoken = jax.device_get(explain(variables, image, words))
    by_source = np.abs([heat.sum((1, 2)), spoken.sum((1, 2))])
    share, size = np.median(by_source[1] / by_source.sum(0)), np.median(by_source.sum(0))
    print(f"{rule:8} share of the text {share:.2f}, size of both {size:.3g} (medians)")

# %% [markdown]
# ## The picture
#
# Above each image the relevance of the three words for the right answer; red pixels speak for it.

# %%
figure = Figure(figsize=(9, 3), layout="constrained")
chosen = np.flatnonzero(model.apply(variables, image, words).argmax(-1) == label)[:4]
for row, rule in zip(figure.subplots(2, 4), ("lrp0", "attnlrp"), strict=True):
    heat, spoken = found[rule]
    for ax, sample in zip(row, chosen, strict=True):
        limit = abs(heat[sample]).max()
        plot.draw_heatmap(ax, image[sample], heat[sample], limit=limit, limits=(0, 1))
        ax.set(xticks=[], yticks=[])
        said = zip(words[sample].argmax(-1), spoken[sample].sum(-1), strict=True)
        ax.set_title("  ".join(f"{WORDS[w]} {r:+.1f}" for w, r in said), fontsize=8)
    row[0].set_ylabel(rule, rotation=0, ha="right")
figure

# %% [markdown]
# With the other question almost every answer is another: the text is all-important, and its share
# is small. It steers; what is said about the digit comes from the image. To divide an answer
# among the sources, keep `lrp0`; to see what attention looked at, take `attnlrp`. Say which one a
# number came from. [Rules](../../rules/#presets) has the definitions.

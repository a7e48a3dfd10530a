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


model, test = Answer(), pairs("test", 500, 1)
variables, optimizer = model.init(jax.random.key(0), *test[:2]), optax.adam(2e-3)


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
image, words, label = test
other = words[:, :, [0, 1, 3, 2]]  # the other digit is asked for
for name, question in {"the question": words, "the other question": other}.items():
    answer = model.apply(variables, image, question).argmax(-1)
    print(f"right with {name}: {np.mean(answer == label):.2f}")

# %% [markdown]
# ## Four rules
#
# `lrp0` and `cp_lrp` take attention weights as constants: relevance flows through what is
# attended to. `attnlrp` and `uniform` give the weights, and so the question that set them, a
# part. Share of the text in the relevance of the answer:

# %%
figure = Figure(figsize=(9, 4.4), layout="constrained")
rules = ("lrp0", "cp_lrp", "attnlrp", "uniform")
chosen = np.flatnonzero(model.apply(variables, image, words).argmax(-1) == label)[:3]
for row, rule in zip(figure.subplots(4, 3), rules, strict=True):
    explain = rfp.jit(rfp.heatmap(model.apply, (1, 2), outputs=label, rules=rule))
    heat, spoken = explain(variables, image, words)
    by_source = np.abs([np.sum(heat, (1, 2)), np.sum(spoken, (1, 2))])
    print(f"{rule:8} share of the text, median: {np.median(by_source[1] / by_source.sum(0)):.2f}")
    limit = np.max(np.abs(heat[chosen]))
    for ax, sample in zip(row, chosen, strict=True):
        plot.draw_heatmap(ax, image[sample], heat[sample], limit=limit, limits=(0, 1))
        ax.set(xticks=[], yticks=[])
        said = zip(np.argmax(words[sample], -1), spoken[sample].sum(-1), strict=True)
        ax.set_title("  ".join(f"{WORDS[w]} {float(r):+.1f}" for w, r in said), fontsize=8)
    row[0].set_ylabel(rule, rotation=0, ha="right")
figure

# %% [markdown]
# A question that steers need not contribute: with the other question the answer is another,
# whatever the share. Which rule to take: to divide the answer among the sources, `lrp0`; to see
# what attention looked at, `attnlrp`. Say which one a number came from.
# [Rules](../../rules/#presets) has the definitions.

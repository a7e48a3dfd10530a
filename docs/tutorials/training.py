# %% [markdown]
# # Training with relevance
#
# A network of two sources may lean on one and neglect the other. Relevance can be watched while
# it trains, and can be part of the loss. Here: real digits, left and right half; half of the left
# halves in training are noise, so that the network learns to neglect them.

# %%
# %matplotlib inline
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import rfp_jax as rfp
from rfp_jax import plot
from rfp_jax.datasets import MultiSource, MultiSourceConfig, SourceConfig, load_digits
from rfp_jax.losses import relevance_loss, source_losses


class Fusion(nn.Module):
    @nn.compact
    def __call__(self, left, right):
        hidden = [nn.relu(nn.Dense(32)(x.reshape(len(x), -1))) for x in (left, right)]
        return nn.Dense(10)(nn.relu(nn.Dense(32)(jnp.concatenate(hidden, -1))))


noisy = MultiSourceConfig(source1=SourceConfig(data_noise=0.5))
train = MultiSource(load_digits("train"), noisy).arrays()
test = MultiSource(load_digits("test")).arrays()
model = Fusion()

# %% [markdown]
# ## The loss
#
# `relevance_loss` is the cross-entropy of the output plus `weight` times the mean of the sources'
# own cross-entropies: the relevances of each half, taken as logits, should name the digit, too.
# With `weight=0` it is plain training. After each epoch the log takes the shares of the test
# digits.


# %%
def train_with(weight, epochs=60):
    """The variables after training, and the test share of the left half after each epoch."""
    variables = model.init(jax.random.key(0), *test["images"])
    optimizer = optax.adam(3e-3)
    explain = rfp.relevance(model.apply, argnums=(1, 2))

    def epoch(carry, _):
        def loss(variables):
            return relevance_loss(explain(variables, *train["images"]), train["label"], weight)

        variables, state = carry
        for _ in range(5):  # five steps on all images
            updates, state = optimizer.update(jax.grad(loss)(variables), state)
            variables = optax.apply_updates(variables, updates)
        rel = explain(variables, *test["images"])
        left, _ = rel.share()
        alone = source_losses(rel, test["label"])
        share = jnp.median(left[jnp.arange(len(left)), test["label"]])
        right_answers = jnp.mean(rel.output.argmax(-1) == test["label"])
        return (variables, state), {"share": share, "accuracy": right_answers, "alone": alone[0]}

    start = (variables, optimizer.init(variables))
    return jax.jit(lambda start: jax.lax.scan(epoch, start, length=epochs))(start)


# %% [markdown]
# ## The log

# %%
logs = {weight: train_with(weight)[1] for weight in (0.0, 1.0)}
for weight, log in logs.items():
    print(f"weight {weight}: " + ", ".join(f"{k} {float(v[-1]):.2f}" for k, v in log.items()))
figure = Figure(figsize=(8, 3), layout="constrained")
panels = {"share": "median share of the left half", "alone": "loss of the left half alone"}
for ax, (key, words) in zip(figure.subplots(1, 2), panels.items(), strict=True):
    for (weight, log), color in zip(logs.items(), plot.SOURCE_COLORS, strict=False):
        ax.plot(np.arange(1, 61), log[key], color=color, label=f"relevance loss, weight {weight:g}")
    ax.set(xlabel="epoch", title=words)
ax.legend(frameon=False)
figure

# %% [markdown]
# The left half alone loses more and more in plain training, and keeps what it knows with the
# relevance loss. The test images are clean, both times. *Alone* is the cross-entropy of the left
# half's relevances as logits. The loss is this project's own; [its page](../../loss/) says what
# it does not do.

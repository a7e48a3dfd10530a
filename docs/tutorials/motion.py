# %% [markdown]
# # Two motion sensors
#
# A smart watch has an accelerometer and a gyroscope. Which of them tells walking from badminton,
# and when? The data are real: BasicMotions, four activities of four students, 40 series to train
# and 40 to test, 10 Hz for 10 seconds. They come in the package `aeon`; its files are all that is
# needed (`pip install --no-deps aeon==1.6.0`).

# %%
# %matplotlib inline
from importlib.metadata import files

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import rfp_jax as rfp
from rfp_jax import attribution, plot

CLASSES = ("Standing", "Running", "Walking", "Badminton")


def read(split):
    # series [sample, time, axis] of both sensors, and the class of each
    (path,) = (f for f in files("aeon") if f.name == f"BasicMotions_{split}.ts")
    lines = path.read_text().split("@data\n")[1].splitlines()
    rows = [line.split(":") for line in lines]
    series = np.array([[c.split(",") for c in row[:6]] for row in rows], np.float32)
    accelerometer, gyroscope = series[:, :3].swapaxes(1, 2), series[:, 3:].swapaxes(1, 2)
    return (accelerometer / 10, gyroscope / 3), np.array([CLASSES.index(row[6]) for row in rows])


# %% [markdown]
# ## A recurrent network
#
# A GRU reads each sensor step by step; a dense layer names the activity from the mean over time.


# %%
class Motion(nn.Module):
    @nn.compact
    def __call__(self, accelerometer, gyroscope):
        read = [nn.RNN(nn.GRUCell(16))(x).mean(1) for x in (accelerometer, gyroscope)]
        return nn.Dense(4)(jnp.concatenate(read, -1))


train, labels = read("TRAIN")
model = Motion()
variables = model.init(jax.random.key(0), *train)
optimizer = optax.adamw(0.01, weight_decay=0.1)


@jax.jit
def step(carry, _):
    def loss(variables):
        logits = model.apply(variables, *train)
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    variables, state = carry
    updates, state = optimizer.update(jax.grad(loss)(variables), state, variables)
    return (optax.apply_updates(variables, updates), state), None


(variables, _), _ = jax.lax.scan(step, (variables, optimizer.init(variables)), length=150)
test, truth = read("TEST")
print("accuracy:", np.mean(model.apply(variables, *test).argmax(-1) == truth))

# %% [markdown]
# ## How much, and what if it were another's?
#
# Relevance divides the score that the network gave. Exchanging a sensor's series for those of the
# other samples, as the perceptual score does, asks what the accuracy would lose. These are two
# questions.

# %%
rel = rfp.jit(rfp.relevance(model.apply, argnums=(1, 2)))(variables, *test)
shares = np.stack(rel.share(), -1)[np.arange(40), truth]
for kind, name in enumerate(CLASSES):
    print(f"{name:10} share of the gyroscope {np.median(shares[truth == kind, 1]):.2f}")
lost = attribution.perceptual_score_exact(model.apply, argnums=(1, 2))(truth, variables, *test)
print("accuracy lost, exchanged accelerometer, gyroscope:", *np.round(lost.score, 2))

# %% [markdown]
# ## When?
#
# A heatmap gives the relevance of every sensor at every step for the true class. Its sums are the
# relevances above. In a few series single steps have parts that are larger than the score and
# cancel against the bias: a frozen recurrence multiplies step by step. So look at sizes before
# you read a single series. Drawn is one of middle size of each activity; every panel has its own
# scale.

# %%
heat = rfp.jit(rfp.heatmap(model.apply, argnums=(1, 2), outputs=truth))(variables, *test)
sizes = np.max([abs(part.sum(-1)).max(1) for part in heat], 0)  # the greatest of each series
print(f"greatest part of a step: median {np.median(sizes):.2f}, of all {sizes.max():.0f}")
chosen = [sorted(np.flatnonzero(truth == kind), key=sizes.__getitem__)[5] for kind in range(4)]
figure = Figure(figsize=(10, 5), layout="constrained")
axes, seconds = figure.subplots(2, 4, sharex=True), np.arange(100) / 10
for column, sample in zip(axes.T, chosen, strict=True):
    for series, relevance, name, color in zip(
        test, heat, ("accelerometer", "gyroscope"), plot.SOURCE_COLORS, strict=False
    ):
        column[0].plot(seconds, np.linalg.norm(series[sample], axis=-1), color=color, lw=0.9)
        column[1].plot(seconds, relevance[sample].sum(-1), color=color, label=name, lw=0.9)
    column[0].set_title(CLASSES[truth[sample]])
axes[0, 0].set_ylabel("length of the vector, scaled")
axes[1, 0].set(ylabel="relevance for the class", xlabel="seconds")
figure.legend(handles=axes[1, 3].lines, loc="outside lower center", ncols=2, frameon=False)
figure

# %% [markdown]
# # Which input does a regression use?
#
# A network learns y = x1³ from two inputs, of which x2 means nothing. Relevance tells how much of
# every prediction came from x1, from x2 and from the biases. `python -m experiments.regression`
# does the same in one command.

# %%
# %matplotlib inline
import jax
from matplotlib.figure import Figure

from experiments import regression

# %% tags=["parameters"]
steps = 3000

# %% [markdown]
# ## Data
#
# Both inputs are uniform between -3 and 3.

# %%
x1, x2, y = regression.sample(jax.random.key(0), 4, noise=0.1)
print(x1.ravel(), x2.ravel(), y.ravel(), sep="\n")

# %% [markdown]
# ## Training through the relevances
#
# `rfp_jax.relevance` gives three parts that add up to the prediction. The loss is the squared error
# of their sum: `relevance_loss(relevance, y, weight=0, loss=mean_squared_error)`.

# %%
settings = regression.Settings(steps=steps)
states = list(regression.train(settings))
print([(state.step, round(state.loss, 3)) for state in states[:: max(len(states) // 5, 1)]])

# %% [markdown]
# ## What every prediction is made of
#
# In a network of linear layers and ReLU, relevance is gradient times input. The gradient of x1³ is
# 3 x1², so the relevance of x1 tends to 3 x1³, the bias to -2 x1³, and the relevance of x2 to 0.

# %%
figure = Figure(figsize=(6.4, 4.6), layout="constrained")
regression.draw(figure, settings, states[-1])
figure

# %%
regression.summarize(settings, states[-1].variables)

# %% [markdown]
# Before the training had found that x2 means nothing, it had relevance too:

# %%
regression.draw(figure, settings, states[0])
figure

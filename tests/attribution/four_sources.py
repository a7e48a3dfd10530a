"""A network of four sources in three arguments, in JAX and in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

SHAPES = {"a": (3,), "b": (2, 2), "c": (4,), "d": (1,)}


ARGNUMS = (1, 2, 3)


BATCH, CLASSES, HIDDEN = 6, 5, 16


def network(params, first, pair, last):
    """Sources: `first`, `pair["b"]`, `pair["c"]` and `last`; logits of shape [B, 5]."""
    inputs = [first, pair["b"], pair["c"], last]
    flat = jnp.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)
    hidden = jax.nn.relu(flat @ params["w1"] + params["b1"][None])
    return jnp.tanh(hidden @ params["w2"]) * 3 + hidden @ params["w3"]


def numpy_network(params, sources):
    flat = np.concatenate([x.reshape(len(x), -1) for x in sources], axis=1)
    hidden = np.maximum(flat @ params["w1"] + params["b1"], 0)
    return np.tanh(hidden @ params["w2"]) * 3 + hidden @ params["w3"]


class Case:
    """A random network with data, and what a coalition of its sources returns, in numpy."""

    def __init__(self, seed=0, batch=BATCH):
        rng = np.random.default_rng(seed)
        width = sum(int(np.prod(shape)) for shape in SHAPES.values())
        self.params = {
            "w1": rng.normal(size=(width, HIDDEN)),
            "b1": rng.normal(size=HIDDEN),
            "w2": rng.normal(size=(HIDDEN, CLASSES)) / 4,
            "w3": rng.normal(size=(HIDDEN, CLASSES)) / 4,
        }
        self.sources = [rng.normal(size=(batch, *shape)) for shape in SHAPES.values()]
        self.baselines = [rng.normal(size=shape) for shape in SHAPES.values()]
        right = self.output({0, 1, 2, 3}).argmax(axis=1)
        self.labels = np.where(rng.random(batch) < 0.8, right, rng.integers(0, CLASSES, batch))

    @property
    def args(self):
        return self.params, *arranged(self.sources)

    def output(self, present, baselines=None):
        """Output with the sources in `present`, the others replaced."""
        baselines = [0.0] * 4 if baselines is None else baselines
        return numpy_network(
            self.params,
            [
                x if s in present else np.broadcast_to(b, x.shape)
                for s, (x, b) in enumerate(zip(self.sources, baselines, strict=True))
            ],
        )

    def accuracy(self, present, baselines=None):
        return np.mean(self.output(present, baselines).argmax(axis=1) == self.labels)


def arranged(values):
    """Four values, one per source, arranged like the arguments."""
    a, b, c, d = values
    return a, {"b": b, "c": c}, d


def listed(result):
    """The values of an arranged result, one per source."""
    assert isinstance(result, tuple)
    assert list(result[1]) == ["b", "c"]
    return [np.asarray(value) for value in (result[0], result[1]["b"], result[1]["c"], result[2])]

"""Replacement tests: one source shows another sample's data, and it is seen what that changes.

`replacement` asks a method whether it keeps apart what is apart: what it says of the other sources
should stay, what it says of the replaced one should change. `dominance` asks the network whether a
method is right: where it says that a source dominates, replacing that source should change the
class more often than replacing another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._core.argnums import Argnums
from rfp_jax._util import shapes
from rfp_jax._util.trees import Given, Tree
from rfp_jax.attribution._agreement import correlation
from rfp_jax.attribution._coalitions import SourceCall, all_but_one


class Replacement(NamedTuple):
    """Comparison of what is said of source t before and after s shows another sample's data.

    Entry [s, t] belongs to the replaced source s and the source t that is asked for; sources are
    named by their place among the arrays that `argnums` points to.

    Attributes:
        pearson: Correlation of both over all outputs of a sample, [S, S, B]; NaN where one of them
            is the same everywhere.
        mse: Mean squared difference of both, [S, S, B].
        size: Mean square of what was said before, [S, B]: `mse / size` compares methods of
            different scales.
    """

    pearson: shapes.Float[jax.Array, "S S B"]
    mse: shapes.Float[jax.Array, "S S B"]
    size: shapes.Float[jax.Array, "S B"]


def replacement(explain: Callable[..., Tree], argnums: Argnums = 0) -> Callable[..., Replacement]:
    """Transform a method of attribution into the replacement test of it.

    Each source in turn shows other samples' data, and what the method says of every source is
    compared with what it said before. A method that separates sources says the same of those that
    were not replaced. It may fail to for good reasons: where sources interact in the network, what
    a source contributes depends on the others. And a method that never changes passes, so look at
    the diagonal, too: of the replaced source something else must be said. It costs S + 1
    explanations.

    Args:
        explain: The method, for instance `occlusion(fun, argnums)`, or a function that returns the
            `sources` of a relevance. It returns, arranged like what `argnums` points to, an array
            with a leading axis of B samples for each source.
        argnums: Which positional arguments of the network are sources; every array in them is a
            source with a leading axis of B samples.

    Returns:
        A function `(others, *args)`: sample b gets the data of sample `others[b]`, integers, [B];
        `args` are the arguments of the network.

    Raises:
        TypeError: At the call, if `argnums` or `others` holds anything but integers.
        ValueError: At the call, if `others` does not name a sample for each sample, the method
            returns something that is not arranged like the sources, or the arguments do not fit.

    References:
        Park, Park, Kim, Park & Choi, "Layer-wise modality decomposition for interpretable
        multimodal sensor fusion", NeurIPS 2025 (arXiv 2511.00859): one modality is replaced, and
        what is said of the others is compared by Pearson's correlation and mean squared error.

    Examples:
        >>> from rfp_jax.attribution import occlusion
        >>> network = lambda a, b: jnp.concatenate([a + b, a * b], axis=1)
        >>> a, b = jnp.array([[1.0], [2.0]]), jnp.array([[3.0], [5.0]])
        >>> test = replacement(occlusion(network, (0, 1)), (0, 1))
        >>> found = test(jnp.array([1, 0]), a, b)
        >>> found.mse[0, 1].tolist()  # of b, with the other a: its part of a * b is another one
        [4.5, 12.5]
    """

    def test(others: Given, *args: Given) -> Replacement:
        call = SourceCall.from_call(explain, argnums, args)
        shown = _shown(call, others)
        before = _attribution(call, call.leaves)
        pearson, mse = [], []
        for alone in all_but_one(len(call.leaves)):
            after = _attribution(call, _replaced(call, shown, alone))
            pearson.append([correlation(a, b) for a, b in zip(before, after, strict=True)])
            mse.append([jnp.mean((a - b) ** 2, axis=1) for a, b in zip(before, after, strict=True)])
        size = jnp.stack([jnp.mean(each**2, axis=1) for each in before])
        return Replacement(jnp.asarray(pearson), jnp.asarray(mse), size)

    return test


class Dominance(NamedTuple):
    """Places at which a source dominates, and at which the class changes if one is replaced.

    Attributes:
        source: The source with the largest attribution in size for the predicted class, the first
            of equals, int, [B, *places]; named by its place among the arrays that `argnums` points
            to.
        changed: Whether another class is predicted if source s shows another sample's data, bool,
            [S, B, *places].
    """

    source: shapes.Integer[jax.Array, "B *places"]  # noqa: F821
    changed: shapes.Bool[jax.Array, "S B *places"]

    @property
    def dominating(self) -> shapes.Float[jax.Array, " B"]:
        """Part of the places where replacing the dominating source changes the class, [B]."""
        return _mean(jnp.take_along_axis(self.changed, self.source[None], axis=0)[0])

    @property
    def others(self) -> shapes.Float[jax.Array, " B"]:
        """Part of the places where replacing another one does, mean over the others, [B]."""
        every = _mean(jnp.sum(self.changed, axis=0))
        return (every - self.dominating) / (len(self.changed) - 1)


def dominance(fun: Callable[..., Tree], argnums: Argnums = 0) -> Callable[..., Dominance]:
    """Transform a network into a function that tests which source dominates its classes.

    Each source in turn shows other samples' data. If an attribution is faithful, the predicted
    class changes more often where the replaced source dominates. Compare with the attribution that
    names the same source everywhere, too: where one source matters more on the whole, that one has
    a difference without knowing any place. It costs S + 1 passes through the network.

    Args:
        fun: The network; it returns outputs [B, *places, K], or [B, K].
        argnums: Which positional arguments of the network are sources, at least two; every array in
            them is a source with a leading axis of B samples.

    Returns:
        A function `(attribution, others, *args)`, where `attribution` is arranged like what
        `argnums` points to, with an array shaped like the output for each source; sample b gets the
        data of sample `others[b]`, integers, [B]; `args` are the arguments of the network.

    Raises:
        TypeError: At the call, if `argnums` or `others` holds anything but integers.
        ValueError: At the call, if there is one source alone, or attribution or `others` do not fit
            the output.

    References:
        Samek, Binder, Montavon, Lapuschkin & Mueller, "Evaluating the visualization of what a deep
        neural network has learned", IEEE TNNLS 2017, section III, with sources for regions and
        other samples' data for a baseline.

    Examples:
        >>> network = lambda a, b: a + 3 * b  # two places, two classes
        >>> a = jnp.array([[[5.0, 0], [0, 1]], [[0, 5.0], [1, 0]]])
        >>> b = jnp.array([[[1.0, 0], [1, 0]], [[0, 1.0], [0, 1]]])
        >>> found = dominance(network, (0, 1))((a, 3 * b), jnp.array([1, 0]), a, b)
        >>> found.source.tolist()
        [[0, 1], [0, 1]]
        >>> found.dominating.tolist(), found.others.tolist()
        ([1.0, 1.0], [0.0, 0.0])
    """

    @jax.jit
    def changes(shown: list[jax.Array], attribution: Given, *args: Given) -> Dominance:
        call = SourceCall.from_call(fun, argnums, args)
        count = len(call.leaves)
        masks = np.concatenate([np.ones((1, count), bool), all_but_one(count)])
        outputs = call.outputs(masks, shown)
        said = _fitting(call, attribution, outputs.shape[1:])
        predicted = jnp.argmax(outputs, axis=-1)
        of_class = jnp.take_along_axis(jnp.abs(said), predicted[:1, ..., None], axis=-1)[..., 0]
        return Dominance(jnp.argmax(of_class, axis=0), predicted[1:] != predicted[:1])

    def test(attribution: Given, others: Given, *args: Given) -> Dominance:
        call = SourceCall.from_call(fun, argnums, args)
        if len(call.leaves) < 2:
            raise ValueError("which source dominates is a question about two sources or more")
        return changes(_shown(call, others), attribution, *args)

    return test


def _shown(call: SourceCall, others: Given) -> list[jax.Array]:
    """The data of other samples, for each source."""
    others = np.asarray(others)
    if not np.issubdtype(others.dtype, np.integer):
        raise TypeError(f"others must be integers, the sample that each sample gets, got {others}")
    counts = {leaf.shape[:1] for leaf in call.leaves}
    if counts != {others.shape} or not ((others >= 0) & (others < len(others))).all():
        raise ValueError(
            "every source needs the same number B of samples on its first axis, and others [B] "
            f"names one of them for each; got shapes {[leaf.shape for leaf in call.leaves]} and "
            f"others {others.tolist()}"
        )
    return [leaf[others] for leaf in call.leaves]


def _replaced(call: SourceCall, shown: list[jax.Array], kept: np.ndarray) -> list[jax.Array]:
    pairs = zip(call.leaves, shown, kept, strict=True)
    return [own if keep else other for own, other, keep in pairs]


def _attribution(
    call: SourceCall, leaves: list[jax.Array]
) -> list[shapes.Float[jax.Array, "B values"]]:
    """Attribution of each source by a method, all outputs of a sample in one row."""
    found = call(leaves)
    values, structure = jax.tree.flatten(found)
    if structure != call.result:
        raise ValueError(
            f"the method must return something arranged like the sources ({call.result}), got "
            f"{structure}"
        )
    samples = call.leaves[0].shape[:1]
    if any(jnp.shape(each)[:1] != samples for each in values):
        raise ValueError(
            f"the method must return arrays with a leading axis of {samples[0]} samples, got "
            f"{[jnp.shape(each) for each in values]}"
        )
    return [jnp.reshape(jnp.asarray(each), (*samples, -1)) for each in values]


def _fitting(call: SourceCall, attribution: Given, shape: tuple[int, ...]) -> jax.Array:
    """An attribution stacked by source, each shaped like the output, [S, B, *places, K]."""
    values, structure = jax.tree.flatten(attribution)
    given = [jnp.shape(each) for each in values]
    if structure != call.result or any(each != shape for each in given):
        raise ValueError(
            f"attribution must be arranged like the sources ({call.result}), each shaped like the "
            f"output {shape}; got {structure} of shapes {given}"
        )
    return jnp.stack(values)


def _mean(values: jax.Array) -> shapes.Float[jax.Array, " B"]:
    """The mean over all places of each sample."""
    return jnp.mean(jnp.asarray(values, float).reshape(len(values), -1), axis=1)

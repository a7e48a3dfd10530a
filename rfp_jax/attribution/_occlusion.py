"""Occlusion: how much an output falls when one source is taken away."""

from collections.abc import Callable

import jax
import numpy as np

from rfp_jax._core.argnums import Argnums
from rfp_jax._util.trees import Given, Tree
from rfp_jax.attribution._coalitions import SourceCall, all_but_one


def occlusion(
    fun: Callable[..., Tree], argnums: Argnums = 0, *, baseline: Given = 0.0
) -> Callable[..., Tree]:
    """Transform a network into a function that returns the occlusion of each source.

    The occlusion (or ablation) of source s is the output minus the output with s replaced by a
    baseline and all other sources left as they are. It costs S + 1 passes through the network.

    Args:
        fun: The network. Bind arguments that are not arrays beforehand.
        argnums: Which positional arguments are sources; every array in them is a source.
        baseline: What an absent source is replaced with: a number, or one array per source,
            arranged like the sources.

    Returns:
        A compiled function of the same positional arguments; it returns, arranged like what
        `argnums` points to, for each source an array shaped like the output.

    Raises:
        TypeError: At the call, if `argnums` holds anything but integers.
        ValueError: At the call, if `argnums` or the baseline does not fit the arguments.

    References:
        Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
        section 4.2.

    Examples:
        >>> product = lambda a, b: a * b + a
        >>> [float(value) for value in occlusion(product, argnums=(0, 1))(3.0, 2.0)]
        [9.0, 6.0]
    """

    @jax.jit
    def attribute(*args: Given) -> Tree:
        call = SourceCall.from_call(fun, argnums, args)
        count = len(call.leaves)
        masks = np.concatenate([np.ones((1, count), bool), all_but_one(count)])
        outputs = call.outputs(masks, call.background(baseline))
        return call.unstack(jax.tree.map(lambda output: output[:1] - output[1:], outputs))

    return attribute

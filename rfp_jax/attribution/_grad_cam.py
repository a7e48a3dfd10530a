"""Grad-CAM with the bands of the sources as feature maps, for outputs with places."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rfp_jax._core.argnums import Argnums
from rfp_jax._util.trees import Given, Tree
from rfp_jax.attribution._coalitions import SourceCall
from rfp_jax.attribution._gradients import differentiable


def grad_cam(fun: Callable[..., Tree], argnums: Argnums = 0) -> Callable[..., Tree]:
    """Transform a network into a function that returns Grad-CAM scores of bands, by source.

    The feature maps of Grad-CAM are here the bands of the sources themselves, so that it needs no
    layer in which sources are still apart. For class k the outputs of all places at which k is the
    largest are summed; band c weighs as the mean over the places of that sum's gradient:

        w_ck = mean over q of  d / d x_qc  sum over p, argmax y_p = k, of y_pk
        map_s[p, k] = max(0, sum over the bands c of s of w_ck x_pc)

    A class that is predicted nowhere has a map of zeros. The map says where in the *input* a source
    looks like the class; it does not follow what reaches one place of the output, and its values
    add up to nothing. It costs one pass and K backward ones, side by side.

    Args:
        fun: The network; it returns outputs [B, *places, K]. Bind arguments that are not arrays
            beforehand.
        argnums: Which positional arguments are sources; every array in them is a source
            [B, *places, bands].

    Returns:
        A function like that of `gradient_x_input`: for each source an array shaped like the output.

    Raises:
        TypeError: At the call, as that of `gradient_x_input`.
        ValueError: At the call, if `argnums` does not fit the arguments, or output and sources do
            not have the same places.

    References:
        Selvaraju, Cogswell, Das, Vedantam, Parikh & Batra, "Grad-CAM", ICCV 2017, equations 1 and
        2; sums over a region of the output: Vinogradova, Dibrov & Myers, "Towards interpretable
        semantic segmentation via gradient-weighted class activation mapping", AAAI 2020.

    Examples:
        >>> network = lambda a, b: jnp.concatenate([3 * a, b], axis=-1)  # a class per source
        >>> a, b = jnp.array([[[1.0], [1.0]]]), jnp.array([[[2.0], [4.0]]])  # two places
        >>> [each.tolist() for each in grad_cam(network, argnums=(0, 1))(a, b)]
        [[[[1.5, 0.0], [1.5, 0.0]]], [[[0.0, 1.0], [0.0, 2.0]]]]
    """

    @jax.jit
    def attribute(*args: Given) -> Tree:
        call = differentiable(fun, argnums, args)
        output, pull = jax.vjp(lambda *leaves: call(leaves), *call.leaves)
        _check(call, output)
        classes = output.shape[-1]
        named = jax.nn.one_hot(jnp.argmax(output, axis=-1), classes, dtype=output.dtype)
        across = tuple(range(1, output.ndim - 1))

        def map_class(chosen: jax.Array) -> jax.Array:
            weights = [jnp.mean(each, across, keepdims=True) for each in pull(named * chosen)]
            scores = [(w * x).sum(-1) for w, x in zip(weights, call.leaves, strict=True)]
            return jax.nn.relu(jnp.stack(scores))

        # side by side and not one after the other: XLA's convolutions are slow in loops
        each_class = jnp.eye(classes, dtype=output.dtype)
        chosen = each_class.reshape(classes, *(1,) * (output.ndim - 1), classes)
        return call.unstack(jax.vmap(map_class, out_axes=-1)(chosen))

    return attribute


def _check(call: SourceCall, output: Tree) -> None:
    places = getattr(output, "shape", ())[:-1]
    if len(places) < 2 or any(leaf.shape[:-1] != places for leaf in call.leaves):
        raise ValueError(
            "Grad-CAM of bands needs an output [B, *places, K] and sources [B, *places, bands] "
            f"with the same places, got an output {getattr(output, 'shape', output)} and sources "
            f"{[leaf.shape for leaf in call.leaves]}"
        )

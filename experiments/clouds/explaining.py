"""Explain every pixel of an image: the bands that speak for cloud and for shadow."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import rfp_jax
from experiments.clouds.network import CloudNetwork


class Explained(NamedTuple):
    """An image explained, pixel by pixel.

    All of it but `mask` and `probability` is blended from windows with common weights, so that
    `output = bias + sum of bands` everywhere.

    Attributes:
        mask: the class, uint8 [y, x].
        probability: blended as the package does, [y, x, class].
        output: evidence for each class: its logit minus the mean of all logits, [y, x, class].
        bands: relevance of each band for that, [band, y, x, class].
        bias: what came from no band, likewise, [y, x, class].
        logits: of the windows, [window, class, y, x].
        deviation: largest difference of a logit from its parts, relative to the greatest logit.
    """

    mask: np.ndarray
    probability: np.ndarray
    output: np.ndarray
    bands: np.ndarray
    bias: np.ndarray
    logits: np.ndarray
    deviation: float


def explainer(network: CloudNetwork) -> Callable[..., Any]:
    """Make the compiled function that explains windows; the bias is propagated, not a remainder.

    Args:
        network: the network.

    Returns:
        A function of parameters and windows that returns a `Relevance`.
    """
    split = rfp_jax.sources.groups({name: [k] for k, name in enumerate(network.bands)}, axis=1)
    return rfp_jax.jit(rfp_jax.relevance(network.fun, 1, split=split, bias="propagate"))


def explain(
    network: CloudNetwork,
    explained_by: Callable[..., Any],
    reflectance: np.ndarray,
    advance: Callable[[], None],
) -> Explained:
    """Explain an image.

    Args:
        network: the network.
        explained_by: of `explainer`.
        reflectance: the image, float32 [y, x, band].
        advance: called after every window.

    Returns:
        What is known of every pixel.
    """
    shape, logits, parts = reflectance.shape[:2], [], []
    for window in network.windows(reflectance):
        found = explained_by(network.params, window[None])
        bands = [found.sources[name] for name in network.bands]  # JAX sorts the names of a dict
        every = [found.output, *bands, found.bias]
        parts.append(np.stack([np.asarray(part)[0] for part in every], -1))  # [class, y, x, part]
        logits.append(np.asarray(found.output)[0])
        advance()
    stacked = np.stack(parts).astype(np.float64)
    remainder = stacked[..., 0] - stacked[..., 1:].sum(-1)
    deviation = float(np.abs(remainder).max() / np.abs(stacked[..., 0]).max())
    evidence = np.moveaxis(stacked - stacked.mean(1, keepdims=True), 1, -1)
    flat = evidence.reshape(*evidence.shape[:3], -1)
    whole = network.mean_of_windows(flat, shape).reshape(*shape, *evidence.shape[3:])
    output, *bands, bias = np.moveaxis(whole, 2, 0)
    mask, probability = network.mask(np.stack(logits), shape)
    return Explained(mask, probability, output, np.stack(bands), bias, np.stack(logits), deviation)


def speaking(bands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the band that speaks most for a class, and its part of all that speaks for it.

    Args:
        bands: relevance of each band for the class, [band, y, x].

    Returns:
        The band, int [y, x], -1 where none speaks for it, and its share from 0 to 1, [y, x].

    Examples:
        >>> first, share = speaking(np.array([[[3.0, -1.0]], [[1.0, -2.0]]]))
        >>> first.tolist(), share.tolist()
        ([[0, -1]], [[0.75, 0.0]])
    """
    positive = bands.clip(0)
    total = positive.sum(0)
    most = positive.max(0)
    share = np.divide(most, total, out=np.zeros_like(total), where=total > 0)
    return np.where(total > 0, positive.argmax(0), -1), share

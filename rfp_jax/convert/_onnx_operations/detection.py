"""Boxes: which of them stay, and what an image shows inside of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._grid_sample import sample
from rfp_jax.convert._onnx_operations.operation import Fixed, Known, int64, ints, on_axis


class Taps(NamedTuple):
    """The places of samples on one axis of an image, each between two pixels.

    Attributes:
        low: pixels before, [roi, bin, sample].
        high: pixels behind.
        share: of the pixel behind.
        counts: whether a sample lies in the image, and is one of those that its box has.
        number: of samples in a bin of each box, [roi]; NaN if there is no room for so many.
    """

    low: jax.Array
    high: jax.Array
    share: jax.Array
    counts: jax.Array
    number: jax.Array

    def matrix(self, size: int) -> jax.Array:
        """[roi, bin, pixel]: the weight of each pixel in each bin."""
        pixels = jnp.arange(size).reshape(1, 1, 1, -1)
        weights = zip((self.low, self.high), (1 - self.share, self.share), strict=True)
        low, high = (
            jnp.sum(jnp.where(self.counts, weight, 0)[..., None] * (place[..., None] == pixels), -2)
            for place, weight in weights
        )
        return low + high


def _taps(
    start: jax.Array, extent: jax.Array, *, bins: int, size: int, ratio: int, most: int
) -> Taps:
    """Return the samples of boxes on one axis.

    Args:
        start: where each box begins, in pixels.
        extent: how long it is.
        bins: parts of a box.
        size: pixels of the image.
        ratio: samples of each bin; 0 for as many as it has pixels, rounded up.
        most: the most samples that a bin has, where their number is not known.
    """
    part = extent / bins
    number = jnp.ceil(part) if ratio == 0 else jnp.full_like(part, ratio)
    at = jnp.arange(most)[None]
    inside = (at + 0.5) / jnp.maximum(number, 1)[:, None]
    steps = jnp.arange(bins)[None, :, None] + inside[:, None]
    place = start[:, None, None] + part[:, None, None] * steps
    counts = (place >= -1) & (place <= size) & (at < number[:, None])[:, None]
    place = jnp.maximum(place, 0)
    low = jnp.minimum(jnp.floor(place), size - 1)
    high = jnp.minimum(low + 1, size - 1)
    share = jnp.where(low >= size - 1, 0, place - low)
    whole = (low.astype(jnp.int32), high.astype(jnp.int32))
    number = jnp.where(number > most, jnp.nan, jnp.maximum(number, 1))
    return Taps(*whole, share, counts, number)


def roi_align(half_pixel: bool) -> Callable[..., jax.Array]:
    """An operation on boxes of an image; `half_pixel` says what the first opset did."""

    def operation(
        x: jax.Array,
        rois: Fixed,
        batch_indices: ArrayLike,
        *,
        coordinate_transformation_mode: str = "half_pixel" if half_pixel else "output_half_pixel",
        mode: str = "avg",
        output_height: int = 1,
        output_width: int = 1,
        sampling_ratio: int = 0,
        spatial_scale: float = 1.0,
    ) -> jax.Array:
        """The average, or greatest part, of samples in the bins of each box.

        Where boxes are, is not followed by gradients or relevance, as in PyTorch. With
        `sampling_ratio=0` a box that depends on an input and is larger than the image returns NaN:
        it would have more samples than a program can have.
        """
        halved = coordinate_transformation_mode == "half_pixel"
        boxes = lax.stop_gradient(jnp.asarray(rois, x.dtype)) * spatial_scale - 0.5 * halved
        starts, extents = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
        extents = extents if halved else jnp.maximum(extents, 1)
        axes = []
        for axis, bins, size in ((1, output_height, x.shape[2]), (0, output_width, x.shape[3])):
            most = sampling_ratio or _most_samples(
                rois, axis, bins=bins, size=size, scale=spatial_scale, halved=halved
            )
            taken = {"bins": bins, "size": size, "ratio": sampling_ratio, "most": most}
            axes.append(_taps(starts[:, axis], extents[:, axis], **taken))
        rows, columns = axes
        images = jnp.asarray(x)[jnp.asarray(batch_indices)]  # [roi, channel, height, width]
        if mode == "max":
            return _greatest_part(images, rows, columns)
        number = (rows.number * columns.number)[:, None, None, None]
        down = jnp.einsum("rph,rchw->rcpw", rows.matrix(x.shape[2]), images)
        return jnp.einsum("rcpw,rqw->rcpq", down, columns.matrix(x.shape[3])) / number

    return operation


def _most_samples(
    rois: ArrayLike, axis: int, *, bins: int, size: int, scale: float, halved: bool
) -> int:
    """Return the most samples of a bin: of boxes that are known, or that lie in the image."""
    extent = float(size)
    if isinstance(rois, np.ndarray):
        extent = float(np.max((rois[:, 2 + axis] - rois[:, axis]) * scale, initial=0))
        extent = extent if halved else max(extent, 1)
    return max(1, math.ceil(extent / bins))


def _greatest_part(images: jax.Array, rows: Taps, columns: Taps) -> jax.Array:
    """The greatest of what any pixel beside a sample adds to it."""
    counts = rows.counts[:, :, :, None, None] & columns.counts[:, None, None]
    best = jnp.full((), -jnp.inf, images.dtype)
    for y, down in ((rows.low, 1 - rows.share), (rows.high, rows.share)):
        for x, right in ((columns.low, 1 - columns.share), (columns.high, columns.share)):
            weight = down[:, :, :, None, None] * right[:, None, None]
            pixels = jax.vmap(lambda image, y, x: image[:, y[:, :, None, None], x[None, None]])(
                images, y, x
            )  # [roi, channel, bin, sample, bin, sample]
            best = jnp.maximum(best, jnp.where(counts, weight, 0)[:, None] * pixels)
    asked = [jnp.arange(t.counts.shape[-1])[None] < t.number[:, None] for t in (rows, columns)]
    asked = asked[0][:, None, None, :, None, None] & asked[1][:, None, None, None, None]
    number = (rows.number * columns.number)[:, None, None, None]
    return jnp.where(jnp.isnan(number), number, jnp.where(asked, best, -jnp.inf).max((3, 5)))


def non_max_suppression(
    boxes: ArrayLike,
    scores: ArrayLike,
    max_output_boxes_per_class: Known | None = None,
    iou_threshold: ArrayLike | None = None,
    score_threshold: ArrayLike | None = None,
    *,
    center_point_box: int = 0,
) -> jax.Array:
    """Pick the boxes of each class by score; each drops those that it overlaps.

    Args:
        boxes: [sample, box, 4].
        scores: [sample, class, box].
        max_output_boxes_per_class: how many are picked at most.
        iou_threshold: the overlap, over the union, from which a box is dropped.
        score_threshold: boxes of less are not picked.
        center_point_box: whether a box is center and size instead of two corners.

    Returns:
        [sample class most, 3]: sample, class and box. How many are picked depends on values, and
        the size of an array cannot: the rows that are left over come last and hold -1.
    """
    boxes, scores = jnp.asarray(boxes), jnp.asarray(scores)
    limit = 0 if max_output_boxes_per_class is None else ints(max_output_boxes_per_class)[0]
    most = min(limit, boxes.shape[1])
    if center_point_box:
        first, second = boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2
    else:
        first, second = boxes[..., :2], boxes[..., 2:]
    low, high = jnp.minimum(first, second), jnp.maximum(first, second)
    bound = jnp.zeros(()) if iou_threshold is None else jnp.asarray(iou_threshold).reshape(())

    def pick(low: jax.Array, high: jax.Array, scores: jax.Array) -> jax.Array:
        area = jnp.prod(high - low, axis=-1)

        def step(free: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            best = jnp.argmax(jnp.where(free, scores, -jnp.inf))
            sides = jnp.minimum(high, high[best][None]) - jnp.maximum(low, low[best][None])
            shared = jnp.prod(jnp.maximum(sides, 0), axis=-1)
            union = area + area[best] - shared
            near = shared > bound * union  # no quotient: boxes without an area drop none
            chosen = jnp.where(free.any(), best, -1)
            return free & ~near & (jnp.arange(area.size) != best), chosen

        free = jnp.ones(scores.shape, bool)
        if score_threshold is not None:
            free = scores > jnp.asarray(score_threshold).reshape(())
        return lax.scan(step, free, None, length=most)[1]

    of_classes = jax.vmap(pick, (None, None, 0))
    picked = jax.vmap(of_classes)(*map(lax.stop_gradient, (low, high, scores))).reshape(-1)
    samples, classes = scores.shape[:2]
    sample, kind, _ = np.indices((samples, classes, most)).reshape(3, -1)
    rows = jnp.stack([jnp.asarray(sample), jnp.asarray(kind), picked], -1)
    rows = jnp.where(picked[:, None] < 0, -1, rows)
    return rows[jnp.argsort(picked < 0, stable=True)].astype(int64())


def deformable_conv(
    x: jax.Array,
    w: ArrayLike,
    offset: ArrayLike,
    b: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    *,
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    offset_group: int = 1,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> jax.Array:
    """A convolution of images that looks beside each place of its window, by offsets."""
    w, offset = jnp.asarray(w), jnp.asarray(offset)
    if x.ndim != 4:
        raise NotImplementedError(
            f"a deformable convolution of {x.ndim - 2} spatial axes; two, of images, are read"
        )
    samples, channels, *spatial = x.shape
    kernel, out = w.shape[2:], offset.shape[2:]
    window = math.prod(kernel)
    moved = offset.reshape(samples * offset_group, window, 2, *out)
    inside = np.indices(kernel).reshape(2, window)
    steps = np.indices(out)
    at = [
        (
            steps[i] * (strides or (1, 1))[i]
            - (pads or (0,) * 4)[i]
            + inside[i][None, :, None, None] * (dilations or (1, 1))[i]
        )
        + moved[:, :, i]
        for i in range(2)
    ]
    images = x.reshape(samples * offset_group, channels // offset_group, *spatial)
    seen = sample(images, at, padding_mode="zeros")  # [sample group, channel, window, ...]
    if mask is not None:
        seen = seen * jnp.asarray(mask).reshape(samples * offset_group, 1, window, *out)
    seen = seen.reshape(samples, group, channels // group, window, *out)
    kernels = w.reshape(group, w.shape[0] // group, channels // group, window)
    y = jnp.einsum("ngcwij,gocw->ngoij", seen, kernels).reshape(samples, w.shape[0], *out)
    return y if b is None else y + on_axis(b, y.ndim, 1)


TABLE: dict[str, Callable[..., Tree]] = {
    "DeformConv": deformable_conv,
    "NonMaxSuppression": non_max_suppression,
    "RoiAlign": roi_align(half_pixel=True),
    "RoiAlign-10": roi_align(half_pixel=False),
}

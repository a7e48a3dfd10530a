"""Outputs with places: a class for each pixel of a map, or for each time of a sequence.

A *region* of a sample is the places p of one class k: those that belong to it by the label, and
those that are predicted to,

    P_k = {p : label_p = k}        P_k = {p : argmax_c Y_pc = k}

and its numbers are means over them, for every source s and every output c:

    R_ksc = 1/|P_k| sum_{p in P_k} R_spc        Y_kc = 1/|P_k| sum_{p in P_k} Y_pc

Means are linear, so the parts of a region add up to its output as those of a place do. Places whose
label is not known are in no region. The sums are made on the device: what leaves it has the size of
the classes, not of the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util.trees import Given, Json, Tree
from rfp_jax.tables._evaluate.labels import UNKNOWN
from rfp_jax.tables._evaluate.options import Places
from rfp_jax.tables._evaluate.values import describe

LAYOUTS = {3: ("btc", "bct"), 4: ("byxc", "bcyx")}
"""The layouts of an output with so many dimensions: classes last, or second."""


class Dense(NamedTuple):
    """The arrays that are computed from a batch.

    Attributes:
        relevance: [batch, region, source, class], the bias last; NaN where a region has no places.
        output: [batch, region, class].
        pixels: [batch, region, class]: how many places of a region are of which class by the
            other of both, label and prediction.
        maps: relevance of the predicted class [batch, source, ...], its output, the prediction and
            the label [batch, ...]; empty where they are not kept.
    """

    relevance: jax.Array
    output: jax.Array
    pixels: jax.Array
    maps: dict[str, jax.Array]


@dataclass(frozen=True)
class Form:
    """The form of outputs with places.

    Attributes:
        dims: a letter for each dimension of the output: "b" the batch, "c" the classes.
        sizes: places along each of the other dimensions.
        classes: how many classes there are.
        is_labeled: whether samples have labels.
        ignore_index: the label of places that do not count, beside those that are unknown.
        keep_maps: whether maps are kept.
    """

    dims: str
    sizes: tuple[int, ...]
    classes: int
    is_labeled: bool
    ignore_index: int | None
    keep_maps: bool

    @property
    def regions(self) -> int:
        """Regions of a sample: of each class by the label, then of each by the prediction."""
        return self.classes * (1 + self.is_labeled)

    @property
    def along(self) -> tuple[str, ...]:
        """Names of the dimensions of the places."""
        names = {"t": "time"}
        return tuple(names.get(letter, letter) for letter in self.dims if letter not in "bc")

    @property
    def label(self) -> jax.ShapeDtypeStruct:
        """The label of a sample, as the device takes it."""
        return jax.ShapeDtypeStruct(self.sizes, jnp.int32)

    def shape(self, batch: int) -> tuple[int, ...]:
        """The shape of the output of a batch."""
        sizes = dict(zip((d for d in self.dims if d not in "bc"), self.sizes, strict=True))
        return tuple({"b": batch, "c": self.classes, **sizes}[letter] for letter in self.dims)

    def words(self) -> dict[str, Json]:
        """Return the attributes by which a table describes it."""
        return {
            "dims": self.dims,
            "sizes": list(self.sizes),
            "labeled": self.is_labeled,
            "ignore_index": self.ignore_index,
            "keep_maps": self.keep_maps,
            "regions": self.regions,
        }

    def map_bytes(self, sources: int) -> int:
        """Bytes of the maps of a sample."""
        return (4 * (sources + 2) + 8) * int(np.prod(self.sizes)) if self.keep_maps else 0

    def read(self, label: Given) -> np.ndarray:
        """Read the label of a sample: the number of a class for each place, -1 where unknown.

        Raises:
            ValueError, TypeError: it is not of the output's size, holds what is not the number of
                a class, or no place counts; says what to do.
        """
        if label is None or label is np.ma.masked:
            raise ValueError("it has no label, as others have: leave the sample out")
        if isinstance(label, np.ma.MaskedArray):
            label = np.ma.filled(label.astype(np.float64), np.nan)
        values = np.asarray(label)
        if values.dtype.kind not in "biuf":
            raise TypeError(f"must hold numbers of classes, got {describe(values)}")
        if values.shape != self.sizes:
            raise ValueError(
                f"must hold the number of a class for each place of the output, {list(self.sizes)}"
                f", got {list(values.shape)}: bring it to the output's size (one-hot labels: take "
                "the arg-max)"
            )
        unknown = (values == UNKNOWN) | (values == self.ignore_index)
        unknown |= np.isnan(values) if values.dtype.kind == "f" else False
        wrong = ~unknown & ~((values >= 0) & (values < self.classes) & (values == values // 1))
        if wrong.any():
            found = np.unique(values[wrong])[:5].tolist()
            raise ValueError(
                f"{found} are not numbers of classes, which go from 0 to {self.classes - 1}: name "
                "the number of places that do not count with Places(ignore_index=...)"
            )
        if unknown.all():
            raise ValueError(
                f"none of its {values.size} places counts: all are unknown or ignore_index="
                f"{self.ignore_index}"
            )
        whole = np.where(unknown, 0, values).astype(np.int32)
        return np.where(unknown, np.int32(UNKNOWN), whole)

    def reduce(self, relevance: jax.Array, output: jax.Array, label: jax.Array | None) -> Dense:
        """Average over regions.

        Args:
            relevance: [source, batch, ...], the bias last, every source as the output.
            output: as `dims` say.
            label: [batch, ...] without classes; None without labels.
        """
        r = jnp.stack([self._flat(part) for part in relevance])  # [source, batch, place, class]
        y = self._flat(output)
        predicted = jnp.argmax(y, -1).astype(jnp.int32)
        sets = [predicted]
        if label is not None:
            true = label.reshape(predicted.shape)
            sets = [true, jnp.where(true == UNKNOWN, UNKNOWN, predicted)]
        pairs = zip(sets, reversed(sets), strict=True)
        pixels = jnp.concatenate([self._counts(own, other) for own, other in pairs], 1)
        members = jnp.concatenate([jax.nn.one_hot(s, self.classes, dtype=y.dtype) for s in sets], 2)

        def mean(products: str, values: jax.Array) -> jax.Array:
            sums = jnp.einsum(products, members, values, precision="highest")
            count = jnp.expand_dims(pixels.sum(-1), tuple(range(2, sums.ndim)))
            return jnp.where(count > 0, sums / count.astype(sums.dtype), jnp.nan)

        odd = ~jnp.isfinite(r).all((0, 3)) | ~jnp.isfinite(y).all(-1)  # [batch, place]
        spoiled = jnp.einsum("bpk,bp->bk", members, odd.astype(y.dtype)) > 0
        means = mean("bpk,sbpc->bksc", jnp.where(odd[None, ..., None], 0, r))
        outputs = mean("bpk,bpc->bkc", jnp.where(odd[..., None], 0, y))
        return Dense(
            jnp.where(spoiled[..., None, None], jnp.nan, means),
            jnp.where(spoiled[..., None], jnp.nan, outputs),
            pixels,
            self._maps(r, y, predicted, label) if self.keep_maps else {},
        )

    def _counts(self, own: jax.Array, other: jax.Array) -> jax.Array:
        """Count the places of each pair of true and predicted class, [batch, class, class]."""
        n = self.classes
        joint = jnp.where(own == UNKNOWN, n * n, own * n + other)  # the last one is dropped
        each = jax.vmap(lambda row: jnp.zeros(n * n, jnp.int32).at[row].add(1, mode="drop"))
        return each(joint).reshape(-1, n, n)

    def _maps(
        self, r: jax.Array, y: jax.Array, predicted: jax.Array, label: jax.Array | None
    ) -> dict[str, jax.Array]:
        best = predicted[..., None]
        parts = jnp.take_along_axis(r, best[None], -1)[..., 0]
        found = {
            "map_relevance": jnp.moveaxis(parts, 0, 1),
            "map_output": jnp.take_along_axis(y, best, -1)[..., 0],
            "map_prediction": predicted,
        }
        found |= {} if label is None else {"map_label": label}
        return {
            name: each.reshape(*each.shape[: 2 if name == "map_relevance" else 1], *self.sizes)
            for name, each in found.items()
        }

    def _flat(self, output: jax.Array) -> jax.Array:
        """Return an output as [batch, place, class], in float32 at least."""
        moved = jnp.moveaxis(output, self.dims.index("c"), -1)
        flat = moved.reshape(moved.shape[0], -1, self.classes)
        return flat.astype(jnp.promote_types(flat.dtype, jnp.float32))


def find_form(
    output: Tree, batch: int, classes: Sequence[str], places: Places | None, *, is_labeled: bool
) -> Form | None:
    """Return the form of a model's outputs; None for one output of each class a sample.

    Args:
        output: what the model returns of a batch, shapes.
        batch: how large that is.
        classes: names of the classes.
        places: what the caller says of places.
        is_labeled: whether samples have labels.

    Raises:
        ValueError: classes may be either of two dimensions, or `places` does not fit.
    """
    given, count = places or Places(), len(classes)
    shape: tuple[int, ...] = tuple(getattr(output, "shape", ()))
    if given.dims is not None:
        fits = len(shape) == len(given.dims) and len(shape) > 2
        sizes = dict(zip(given.dims, shape, strict=False))
        if not fits or (sizes["b"], sizes["c"]) != (batch, count):
            raise ValueError(
                f"Places(dims={given.dims!r}) with {count} classes does not fit the model's output "
                f"of shape {list(shape)} for a batch of {batch}"
            )
        found = [given.dims]
    else:
        known = LAYOUTS.get(len(shape), ())
        found = [dims for dims in known if _fits(dims, shape, batch, count)]
    if len(found) > 1:
        raise ValueError(
            f"the model's output has the shape {list(shape)}, and classes may be its last or its "
            f"second dimension: say which with places=Places(dims=...), {found[0]!r} or "
            f"{found[1]!r}"
        )
    if not found:
        if places is not None:
            raise ValueError(
                f"places= is for outputs with places, [batch, y, x, {count} classes] or [batch, "
                f"time, {count} classes], or classes second; the model's output has the shape "
                f"{list(shape)}"
            )
        return None
    (dims,) = found
    sizes = tuple(n for letter, n in zip(dims, shape, strict=True) if letter not in "bc")
    return Form(dims, sizes, count, is_labeled, given.ignore_index, given.keep_maps)


def _fits(dims: str, shape: Sequence[int], batch: int, classes: int) -> bool:
    return (shape[0], shape[dims.index("c")]) == (batch, classes)


def check_labels(form: Form, labels: Sequence[tuple[str, Given]], kind: str | None) -> None:
    """Refuse labels of which none fits, before anything is computed.

    Args:
        form: of the outputs.
        labels: names of samples, and their labels.
        kind: the kind of label that was asked for.

    Raises:
        ValueError: another kind than classes was asked for, or no label fits; says what is wrong
            with the first one.
    """
    if kind not in (None, "class"):
        raise ValueError(
            f"labels={kind!r}: outputs with places have one class at each place; leave labels= "
            "out, or pass 'class'"
        )
    problems = list(_problems(form, labels))
    if problems and len(problems) == len(labels):
        raise ValueError(f"no label of the samples looked at fits; {problems[0]}")


def _problems(form: Form, labels: Sequence[tuple[str, Given]]) -> Iterator[str]:
    for name, label in labels:
        try:
            form.read(label)
        except (ValueError, TypeError) as error:
            yield f"that of {name}: {error}"

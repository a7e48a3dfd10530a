"""Relevance of every source for every output, in one forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal, ParamSpec, TypedDict, Unpack, overload

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from rfp_jax._core.argnums import Argnums
from rfp_jax._core.dependence import find_interaction
from rfp_jax._core.linearize import FrozenProgram, Row, map_parts
from rfp_jax._core.outputs import Outputs, cotangent, is_all, weighted
from rfp_jax._core.precision import check
from rfp_jax._core.traces import check_callable, convolves, has_while, trace
from rfp_jax._transforms.result import Relevance
from rfp_jax._transforms.walks import BiasMode, walk
from rfp_jax._util.trees import Number, Tree
from rfp_jax.rules import Composite, LayerRule
from rfp_jax.sources import Split, Splits, name, split_leaves

Direction = Literal["auto", "forward", "reverse"]

P = ParamSpec("P")

TOGETHER = 16
"""Up to so many sources are pushed side by side; more of them share one body."""

FEW = 2
"""Up to so many sources of a network of convolutions go forwards, whatever is asked for.

Measured on a CPU (docs/performance.md, "Choosing"): transposed convolutions are slower than
convolutions, so that one pass back takes about as long as two pushes, and more memory. Pushes of
matrix products have no such advantage: there one pass back is worth it from two sources on.
"""


class Options(TypedDict, total=False):
    """The options of `relevance` that do not change the type of what it returns."""

    split: Tree
    outputs: Outputs
    ignore_index: int | None
    bias: BiasMode
    direction: Direction
    rules: str | Composite | LayerRule
    dtype: DTypeLike | None
    max_error: float | None
    max_bytes: int


@overload
def relevance(
    fun: Callable[P, Tree],
    argnums: Argnums = 0,
    *,
    has_aux: Literal[False] = False,
    **options: Unpack[Options],
) -> Callable[P, Relevance]: ...
@overload
def relevance(
    fun: Callable[P, tuple[Tree, Tree]],
    argnums: Argnums = 0,
    *,
    has_aux: Literal[True],
    **options: Unpack[Options],
) -> Callable[P, tuple[Relevance, Tree]]: ...
@overload
def relevance(
    fun: Callable[P, Tree],
    argnums: Argnums = 0,
    *,
    has_aux: bool,
    **options: Unpack[Options],
) -> Callable[P, Tree]: ...


def relevance(
    fun: Callable[P, Tree],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    split: Tree = None,
    outputs: Outputs = "all",
    ignore_index: int | None = None,
    bias: BiasMode = "keep",
    direction: Direction = "auto",
    rules: str | Composite | LayerRule = "lrp0",
    dtype: DTypeLike | None = None,
    max_error: float | None = None,
    max_bytes: int = 2**30,
) -> Callable[P, Tree]:
    """Transform `fun` into a function that tells how much of each output came from each source.

    All sources and all outputs are answered in one forward pass. The conventions are those of
    `jax.grad`; compose with `jax.jit`, `jax.vmap` and `jax.grad` as usual. `rfp_jax.jit` compiles
    it as `jax.jit` does, with the options of XLA that make it fast.

    Args:
        fun: the function to explain, for instance a Flax module's `apply`: pure, of arrays,
            returning an array or a tree of arrays.
        argnums: which positional arguments are sources, an int or a tuple of ints. A source may be
            a tree of floating-point arrays; every leaf is a source of its own. An optional source
            that is None keeps its place.
        has_aux: whether `fun` returns `(output, aux)`, where `aux` is not explained.
        split: sources inside one array, made by `rfp_jax.sources`: `axis`, `groups`, `segments`,
            `masks`. For several arguments, a tuple of these and None. Relevance is stacked on a
            leading axis, or a dict where the split has names.
        outputs: which outputs to explain; see `rfp_jax.heatmap`. For less than all, the last axis
            of the output is gone from all that is returned.
        ignore_index: an index in `outputs` that stands for "none", such as 255 in a label map: its
            samples have output and relevance 0.
        bias: what becomes of what came from no source. `"keep"`: it is what remains. `"share"`:
            each layer's bias is shared among the sources in proportion to the size of their
            contributions to it. `"propagate"`: it is followed like one more source, so that
            the parts add up to the output only if every rule is right.
        direction: forward costs a pass per source; reverse costs one pass and the memory for all
            activations, for one output per sample, and needs samples that do not interact: the
            leading axes of sources and output agree, and no sample's output depends on another
            sample. `"auto"` takes the cheaper one, by the number of sources, and reverse only where
            the program is proved not to let samples interact. With `"reverse"` the caller says so
            (`rfp_jax.audit` tells).
        rules: the rules of propagation: a preset's name, a `Composite`, or a rule for layers.
        dtype: the precision of contributions and of what is returned of them; by default that of
            the activations. With `jnp.float32`, a model that computes in bfloat16 is evaluated as
            it is, but what sources contributed is not rounded to bfloat16 at every step. A dtype
            that is narrower than a source or an output is refused, without `max_error`.
        max_error: the error that rounding contributions to a narrower dtype may add, relative to
            what they would be if nothing canceled on their way; returned is the model's dtype.
            Rounding ends where the bound would be passed, and stops for loops and branches. What
            float16 cannot hold becomes infinite.
        max_bytes: the memory that the parts of a split, pushed at one time, may take.

    Returns:
        A function of the same arguments that returns a `Relevance`, or `(Relevance, aux)`. Where
        the output is not finite, neither is its relevance: it is NaN.

    Raises:
        TypeError, ValueError: at the call, if `argnums`, the sources or the output are not of that
            kind, or `dtype` is narrower than the model's; the message says what to pass.
        MissingRuleError: at the call, if an operation between a source and the output has no rule.

    Warns:
        RelevanceStopsWarning: a source reaches the output only through operations that pass no
            relevance, such as a logarithm.

    Examples:
        Two sources, one hidden unit, a bias of -8:

        >>> import jax, jax.numpy as jnp, rfp_jax
        >>> def model(params, left, right):
        ...     return jax.nn.relu(left * params["a"] + right * params["b"] - 8.0)
        >>> params = {"a": 1.0, "b": 3.0}
        >>> rel = rfp_jax.jit(rfp_jax.relevance(model, argnums=(1, 2)))(params, 24.0, 24.0)
        >>> float(rel.output), [float(r) for r in rel.sources], float(rel.bias)
        (88.0, [24.0, 72.0], -8.0)

    References:
        Gawlikowski & Gottschling, "Relevance Forward Propagation", BMVC 2024. The sharing of bias
        is an option of the authors' code.
    """
    if direction not in ("auto", "forward", "reverse"):
        raise ValueError(
            f"direction={direction!r} is not known; pass 'auto', 'forward' or 'reverse'"
        )
    if direction == "reverse" and (is_all(outputs) or bias == "share"):
        raise ValueError(
            "direction='reverse' explains one output per sample without shared biases: pass "
            "outputs='argmax' (or indices, or weights) and bias='keep' or 'propagate'"
        )
    if not isinstance(max_bytes, int) or max_bytes < 1:
        raise ValueError(f"max_bytes={max_bytes!r} must be a positive integer, such as 2**30")
    check_callable(fun)
    check(dtype, max_error)
    walk(rules, bias, dtype, max_error)  # names that are not known are refused before the call

    @functools.wraps(fun)
    def explained(*args: P.args, **kwargs: P.kwargs) -> Tree:
        given = trace(fun, argnums, args, kwargs, has_aux)
        given.check_precision(dtype, max_error)
        call = given.widened(dtype if max_error is None else None)
        splits = split_leaves(split, call.tree)
        program = FrozenProgram(call, walk(rules, bias, dtype, max_error))
        explain = _Explanation(program, splits, outputs, ignore_index, max_bytes)
        reverse = direction == "reverse" or (
            direction == "auto"
            and not is_all(outputs)
            and bias == "keep"
            and explain.reverse_is_cheaper()
        )
        relevance, aux = explain.reverse() if reverse else explain.forward()
        return (relevance, aux) if has_aux else relevance

    return explained


class _Explanation:
    """One call's outputs and relevance, by either direction."""

    def __init__(
        self,
        program: FrozenProgram,
        splits: Splits,
        outputs: Outputs,
        ignore_index: int | None,
        max_bytes: int,
    ):
        self.program, self.call, self.splits = program, program.call, splits
        self.outputs, self.ignore_index, self.max_bytes = outputs, ignore_index, max_bytes

    def forward(self) -> tuple[Relevance, Tree]:
        """Push every source to all outputs; then weigh those that were chosen."""
        results, rows, bias = self._pushed()
        tree = self.call.output_tree
        ys = results[: tree.num_leaves]
        if not is_all(self.outputs):
            chosen = cotangent(self.outputs, tree.unflatten(ys), self.ignore_index)
            weights = jax.tree.leaves(chosen)
            rows = [list(map(weighted, weights, row)) for row in rows]
            bias = None if bias is None else list(map(weighted, weights, bias))
            ys = list(map(weighted, weights, ys))
        return self._relevance(ys, rows, bias), self.call.aux(results)

    def reverse(self) -> tuple[Relevance, Tree]:
        """Pull the chosen output of each sample back to the sources; then sum over each of them."""
        results, pull = self.program.pull()
        if self.call.output_tree.num_leaves != 1:
            raise ValueError("direction='reverse' explains one array of outputs, got a tree")
        y = results[0]
        weights = cotangent(self.outputs, y, self.ignore_index)
        chosen = weighted(weights, y)

        def total(heat: jax.Array) -> jax.Array:
            if heat.shape[: chosen.ndim] != chosen.shape:
                raise ValueError(
                    f"direction='reverse' needs sources whose leading axes are the samples "
                    f"{list(chosen.shape)}, got a source of shape {list(heat.shape)}"
                )
            return heat.sum(tuple(range(chosen.ndim, heat.ndim)))

        def row(heat: jax.Array, split: Split | None) -> Row:
            if split is None:
                return [total(heat)]
            count = jnp.arange(split.count(heat.shape))
            return [lax.map(lambda i: total(split.part(heat, i)), count)]

        rows = [row(*both) for both in zip(pull([weights]), self.splits, strict=True)]
        return self._relevance([chosen], rows, None), self.call.aux(results)

    def reverse_is_cheaper(self) -> bool:
        """Return whether one pass back takes less than a pass forward per source, and is right."""
        call = self.call
        if call.output_tree.num_leaves != 1 or has_while(call.jaxpr):
            return False
        samples = call.output_shapes[0][:-1]
        together = all(leaf.shape[: len(samples)] == samples for leaf in call.leaves)
        real = not any(jnp.iscomplexobj(var.aval) for var in call.jaxpr.outvars[:1])
        few = FEW if convolves(call.jaxpr) else 1
        if not (together and real and self._count() > few):
            return False
        return find_interaction(call.jaxpr, 1, len(samples)) is None

    def _count(self) -> int:
        each = zip(self.call.leaves, self.splits, strict=True)
        return sum(1 if split is None else split.count(leaf.shape) for leaf, split in each)

    def _pushed(self) -> tuple[list[Tree], list[Row], Row | None]:
        """Return the program's results, one row per source leaf, and that of the bias."""
        walk, leaves = self.program.walk, self.call.leaves
        seeds = list(map(walk.carrier.seed, leaves))
        whole = all(split is None for split in self.splits)
        if walk.bias.needs_all_slots or (whole and len(leaves) <= TOGETHER):
            parts = [_parts(*both) for both in zip(seeds, self.splits, strict=True)]
            results, rows = self.program.push_together(parts)
            bias = rows.pop() if walk.bias.slots else None
            return results, _stacked(rows, parts, self.splits), bias
        results, push, bias = self.program.push()
        rows = self._mapped(push, seeds)
        if bias is not None:  # what a split leaves out came from no source
            for place, split in enumerate(self.splits):
                if split is not None:
                    whole_row = push([s if i == place else 0 * s for i, s in enumerate(seeds)])
                    each = zip(bias, whole_row, rows[place], strict=True)
                    bias = [b + w - c.sum(0) for b, w, c in each]
        return results, rows, bias

    def _mapped(self, push: Callable[[Row], Row], seeds: list[jax.Array]) -> list[Row]:
        """Push part after part through the frozen program; whole sources share one body."""
        zeros = list(map(jnp.zeros_like, seeds))
        rows: dict[int, Row] = {}
        whole = [i for i, split in enumerate(self.splits) if split is None]

        def alone(place: int, contribution: jax.Array) -> list[jax.Array]:
            return [contribution if i == place else zero for i, zero in enumerate(zeros)]

        if len(whole) <= TOGETHER:
            rows |= {place: push(alone(place, seeds[place])) for place in whole}
        else:
            places = jnp.asarray(whole)

            def only(i: jax.Array) -> list[jax.Array]:
                each = zip(seeds, zeros, strict=True)
                return [jnp.where(places[i] == k, s, zero) for k, (s, zero) in enumerate(each)]

            stacked = map_parts(push, zeros, only, len(whole), self.max_bytes)
            rows |= {place: [c[k] for c in stacked] for k, place in enumerate(whole)}
        for place, split in enumerate(self.splits):
            if split is not None:
                seed = seeds[place]

                def part(i: Number, place: int = place, split: Split = split) -> list[jax.Array]:
                    return alone(place, split.part(seeds[place], i))

                count = split.count(seed.shape)
                rows[place] = map_parts(push, zeros, part, count, self.max_bytes)
        return [rows[place] for place in range(len(seeds))]

    def _relevance(self, ys: Row, rows: list[Row], bias: Row | None) -> Relevance:
        """Put outputs, relevance and the remainder in the caller's structures."""
        call, splits = self.call, self.splits
        rows = [list(map(_where_finite, ys, row)) for row in rows]
        biases = list(ys) if bias is None else list(map(_where_finite, ys, bias))
        if bias is None:
            for row, split in zip(rows, splits, strict=True):
                parts = row if split is None else [c.sum(0) for c in row]
                each = zip(biases, parts, strict=True)
                biases = [b - c if _is_number(b) else b for b, c in each]
        tree = call.output_tree
        named = [name(split, row, tree) for split, row in zip(splits, rows, strict=True)]
        return Relevance(tree.unflatten(ys), call.tree.unflatten(named), tree.unflatten(biases))


def _parts(seed: jax.Array, split: Split | None) -> list[jax.Array]:
    """Return the contributions a source array starts with."""
    if split is None:
        return [seed]
    return [split.part(seed, i) for i in range(split.count(seed.shape))]


def _stacked(rows: list[Row], parts: list[list[jax.Array]], splits: Splits) -> list[Row]:
    """Return one row per source leaf of one row per part."""
    given = iter(rows)
    leaves = []
    for own, split in zip(parts, splits, strict=True):
        mine = [next(given) for _ in own]
        leaves.append(mine[0] if split is None else list(map(jnp.stack, zip(*mine, strict=True))))
    return leaves


def _is_number(y: jax.Array) -> bool:
    """Return whether an output carries relevance; integers and truth values do not."""
    return jnp.issubdtype(y.dtype, jnp.inexact)


def _where_finite(y: jax.Array, c: jax.Array) -> jax.Array:
    return jnp.where(jnp.isfinite(y), c, jnp.nan) if _is_number(y) else c

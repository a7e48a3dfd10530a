"""The compiled program: what a batch of windows gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from rfp_jax._transforms.propagation import relevance
from rfp_jax._transforms.walks import BiasMode
from rfp_jax._util.compiler import options_for
from rfp_jax._util.trees import Devices, Given, Tree
from rfp_jax.maps._errors import NetworkSizeError, SceneError
from rfp_jax.rules import Composite, LayerRule

Chosen = tuple[int, ...] | None
"""The outputs that are explained, by number; None for that which is greatest at each pixel."""

Shapes = tuple[jax.ShapeDtypeStruct, ...]


@dataclass(frozen=True)
class Network:
    """A network, and how it is explained.

    Attributes:
        fun: the network, `fun(params, *sources, *constants)`.
        params: its parameters.
        sources: how many sources it takes.
        constants: what it takes beside them, the same for every window.
        dims: how it takes and returns scenes.
        rules, bias: as for `rfp_jax.relevance`.
        is_patch: whether it returns one output for a whole window.
    """

    fun: Callable[..., Tree]
    params: Tree
    sources: int
    constants: tuple[Given, ...]
    dims: str
    rules: str | Composite | LayerRule
    bias: BiasMode
    is_patch: bool

    def outputs(self, inputs: Shapes) -> int:
        """Return how many outputs there are at a pixel; computes nothing.

        Raises:
            NetworkSizeError: they do not lie on the pixels of the window; says what to do.
        """
        found = jax.eval_shape(self.fun, self.params, *inputs, *self.constants)
        y, x = self.dims.index("y"), self.dims.index("x")
        batch, window = inputs[0].shape[0], (inputs[0].shape[y], inputs[0].shape[x])
        if not isinstance(found, jax.ShapeDtypeStruct):
            raise NetworkSizeError(
                f"the network must return one array, got {jax.tree.map(lambda x: x.shape, found)}: "
                "choose one of them (lambda *arguments: network(*arguments)[...])"
            )
        shape = found.shape
        if self.is_patch:
            if len(shape) == 4 and (shape[y], shape[x]) == (1, 1):
                return shape[self.dims.index("c")]
            if len(shape) == 2 and shape[0] == batch:
                return shape[1]
            raise NetworkSizeError(
                f"with stride= the network must return one output for a window, [batch, classes], "
                f"got {list(shape)}; leave stride= out for a network that returns a map"
            )
        if len(shape) != 4 or (shape[y], shape[x]) != window:
            raise NetworkSizeError(
                f"the network must return an output for each of its pixels, [batch, y, x, class] "
                f"with {window[0]} x {window[1]} of them, got {list(shape)}: resize or pad inside "
                "the network (jax.image.resize, jnp.pad), or pass window= and stride= for one that "
                "classifies whole windows"
            )
        return shape[self.dims.index("c")]

    def explain(self, chosen: Chosen) -> Callable[..., tuple[jax.Array, jax.Array]]:
        """Return the function that explains windows.

        Args:
            chosen: which outputs are explained.

        Returns:
            A function of (params, sources, constants) that returns relevance [batch, output,
            source, y, x], the bias last, for the outputs that were chosen, and all outputs
            [batch, output, y, x].
        """
        argnums = tuple(range(1, 1 + self.sources))
        made = relevance(self.fun, argnums, rules=self.rules, bias=self.bias)

        def arrays(params: Tree, inputs: Given, constants: Given) -> tuple[jax.Array, jax.Array]:
            rel = made(params, *inputs, *constants)
            output = self._ordered(rel.output)
            parts = jnp.stack([self._ordered(part) for part in (*rel.sources, rel.bias)], 2)
            if chosen is None:
                best = jnp.argmax(output, 1)[:, None, None]
                return jnp.take_along_axis(parts, best, 1), output
            return parts[:, jnp.array(chosen)], output

        return arrays

    def _ordered(self, output: jax.Array) -> jax.Array:
        """Return an output as [batch, output, y, x]."""
        if output.ndim == 2:
            output = output[:, :, None, None]
        elif self.dims == "byxc":
            output = jnp.moveaxis(output, -1, 1)
        return output.astype(jnp.promote_types(output.dtype, jnp.float32))


class Compiled:
    """A program for batches of windows of one size, one batch on each device.

    Every device runs the program of one batch, so that a window's result does not depend on how
    many devices there are.

    Args:
        network: the network.
        chosen: which outputs are explained.
        shapes: of the batch of one device, one per source.
        devices: where to compute.
    """

    def __init__(self, network: Network, chosen: Chosen, shapes: Shapes, devices: Devices):
        self.shapes, self.devices = shapes, len(devices)
        mesh = jax.make_mesh((len(devices),), ("batch",), (AxisType.Auto,), devices=tuple(devices))
        everywhere, self._pieces = NamedSharding(mesh, P()), NamedSharding(mesh, P("batch"))
        mapped = jax.shard_map(
            network.explain(chosen),
            mesh=mesh,
            in_specs=(P(), P("batch"), P()),
            out_specs=P("batch"),
            check_vma=False,  # a network may start a scan from zeros
        )
        given = [
            jax.ShapeDtypeStruct((s.shape[0] * len(devices), *s.shape[1:]), s.dtype) for s in shapes
        ]
        run = jax.jit(mapped, in_shardings=(everywhere, self._pieces, everywhere))
        traced = run.trace(network.params, given, network.constants)
        self._run = traced.lower().compile(options_for(traced.jaxpr, devices[0].platform))
        self._fixed = jax.device_put((network.params, network.constants), everywhere)

    @property
    def bytes(self) -> int:
        """Memory that a device needs beside the parameters, by XLA's analysis."""
        moving = sum(prod(s.shape) * s.dtype.itemsize for s in self.shapes)
        if (need := self._run.memory_analysis()) is None:  # some back ends do not tell
            return moving
        return need.temp_size_in_bytes + need.output_size_in_bytes + moving

    def __call__(self, inputs: Sequence[np.ndarray]) -> tuple[jax.Array, jax.Array]:
        """Start a batch on every device; the results are there when they are read."""
        params, constants = self._fixed
        return self._run(params, jax.device_put(list(inputs), self._pieces), constants)


def choose(outputs: Given, names: Sequence[str]) -> Chosen:
    """Return which outputs are explained.

    Args:
        outputs: `"argmax"`, `"all"`, or a list of names or numbers.
        names: names of all outputs.

    Raises:
        SceneError: there is no such output.
    """
    if isinstance(outputs, str):
        if outputs not in ("argmax", "all"):
            raise SceneError(
                f"outputs={outputs!r} is not known; pass 'argmax', 'all', or a list of classes "
                f"among {list(names)}"
            )
        return None if outputs == "argmax" else tuple(range(len(names)))
    found = []
    for each in outputs:
        place = list(names).index(each) if each in names else each
        if not isinstance(place, int | np.integer) or not 0 <= place < len(names):
            raise SceneError(f"outputs: there is no class {each!r}; they are {list(names)}")
        found.append(int(place))
    if not found or len(set(found)) < len(found):
        raise SceneError(f"outputs={list(outputs)} must name different classes, at least one")
    return tuple(found)

"""Do the named rules give zennit's numbers? In both directions: `python -m benchmarks.parity`.

The golden file holds a small CNN, its input, and zennit's heatmaps of all outputs in float64. Each
setting is computed twice: backwards (`rfp_jax.heatmap`), compared element by element, and forwards
(`rfp_jax.relevance`, every channel a source), compared with zennit's heatmaps, summed over each
channel. Errors are relative to zennit's greatest magnitude.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import rfp_jax
from rfp_jax import rules
from rfp_jax.rules import Composite, LayerRule

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "zennit_rules_cnn.npz"
LIMIT = 1e-8
"""The greatest relative error with which a setting counts as equal."""


def _mixed(name: str, first: LayerRule) -> Composite:
    return rules.composite(
        name, first=first, dense=rules.epsilon(1e-9), convolution=rules.gamma(0.25)
    )


SETTINGS: Mapping[str, LayerRule | Composite] = {
    "epsilon_1e-2": rules.epsilon(1e-2),
    "epsilon_1e-9": rules.epsilon(1e-9),
    "gamma_0.25": rules.gamma(0.25),
    "zplus": rules.zplus(),
    "alpha2_beta1": rules.alpha_beta(2, 1),
    "alpha1_beta0": rules.alpha_beta(1, 0),
    "flat": rules.flat(),
    "wsquare": rules.wsquare(),
    "composite_first_box_gamma_epsilon": _mixed("box", rules.zbox(-1.0, 1.0)),
    "composite_first_flat_gamma_epsilon": _mixed("flat", rules.flat()),
    "composite_first_wsquare_gamma_epsilon": _mixed("wsquare", rules.wsquare()),
}
"""The settings of the golden file, by their names there."""


@dataclass(frozen=True)
class Config:
    """Settings of the command.

    Attributes:
        golden: File with a network, its input and zennit's heatmaps.
    """

    golden: Path = GOLDEN


class Parity(NamedTuple):
    """One setting, compared.

    Attributes:
        setting: its name in the golden file.
        reverse: greatest error of the heatmaps.
        forward: greatest error of the sources' relevance.
        theorem: greatest difference of relevance and of our own heatmaps, summed.
        bias: what the rules do with the biases, by layer, from `rfp_jax.audit`.
    """

    setting: str
    reverse: float
    forward: float
    theorem: float
    bias: str

    @property
    def agrees(self) -> bool:
        """Return whether both directions are zennit's numbers, and each other's."""
        return max(self.reverse, self.forward, self.theorem) <= LIMIT


def network(golden: Mapping[str, np.ndarray]) -> Callable[[jax.Array], jax.Array]:
    """The golden file's network, in PyTorch's layout, as a plain function.

    Args:
        golden: the file's arrays; `param/<layer>.weight` and `param/<layer>.bias`.

    Returns:
        A function of images [batch, 3, 10, 10] that returns [batch, 6]: convolution, ReLU, maximum
        over 2 x 2, convolution, ReLU, mean over 2 x 2, dense.
    """
    layout = ("NCHW", "OIHW", "NCHW")
    weights = {name: jnp.asarray(golden[name]) for name in golden if name.startswith("param/")}

    def convolve(x: jax.Array, layer: int, padding: int) -> jax.Array:
        y = lax.conv_general_dilated(
            x,
            weights[f"param/{layer}.weight"],
            (1, 1),
            [(padding, padding)] * 2,
            dimension_numbers=layout,
        )
        return y + weights[f"param/{layer}.bias"][None, :, None, None]

    def pool(x: jax.Array, start: float, operation: Callable[..., jax.Array]) -> jax.Array:
        return lax.reduce_window(x, start, operation, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def net(x: jax.Array) -> jax.Array:
        h = pool(jax.nn.relu(convolve(x, 0, 1)), -jnp.inf, lax.max)
        h = pool(jax.nn.relu(convolve(h, 3, 0)), 0.0, lax.add) / 4
        return h.reshape(len(h), -1) @ weights["param/7.weight"].T + weights["param/7.bias"][None]

    return net


def compare(golden: Mapping[str, np.ndarray], setting: str) -> Parity:
    """Compute one setting in both directions and compare it with zennit's numbers.

    Args:
        golden: the file's arrays, float64.
        setting: a name in `SETTINGS`.

    Returns:
        The greatest errors.
    """
    net, rule, x = network(golden), SETTINGS[setting], jnp.asarray(golden["x"])
    expected = golden[f"heatmap/{setting}"]  # [batch, output, channel, height, width]
    heat = jax.jit(rfp_jax.heatmap(net, outputs="all", rules=rule))(x)
    heat = np.moveaxis(np.asarray(heat), 0, 1)
    split = rfp_jax.sources.axis(1)
    sources = jax.jit(rfp_jax.relevance(net, split=split, rules=rule))(x).sources
    forward = np.moveaxis(np.asarray(sources), 0, -1)  # [batch, output, channel]

    def error(got: np.ndarray, right: np.ndarray) -> float:
        return float(np.abs(got - right).max() / np.abs(right).max())

    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    entries = rfp_jax.audit(net, rules=rule)(shape).entries
    layers = [e.rule.rpartition(", bias ")[2] for e in entries if ", bias " in e.rule]
    return Parity(
        setting,
        reverse=error(heat, expected),
        forward=error(forward, expected.sum((3, 4))),
        theorem=error(forward, heat.sum((3, 4))),
        bias=", ".join(dict.fromkeys(layers)),
    )


def main(config: Config) -> int:
    """Compare all settings and print a table, which is Markdown.

    Args:
        config: what can be set.

    Returns:
        The exit code: 1 if a setting is off by more than `LIMIT`.
    """
    console = Console(highlight=False, width=120)
    try:
        golden = dict(np.load(config.golden))
    except (OSError, ValueError) as error:
        console.print(f"Cannot read the golden file {config.golden}: {error}")
        return 1
    if missing := {"x", "output", *(f"heatmap/{name}" for name in SETTINGS)} - golden.keys():
        console.print(f"The golden file {config.golden} lacks {', '.join(sorted(missing))}")
        return 1
    table = Table(box=MARKDOWN)
    table.add_column("setting", no_wrap=True)
    for column in ("reverse − zennit", "forward − zennit", "forward − reverse"):
        table.add_column(column, justify="right")
    table.add_column("the layers' bias")
    started, rows = time.perf_counter(), []
    with jax.enable_x64(True):
        for setting in SETTINGS:
            rows.append(row := compare(golden, setting))
            errors = (f"{e:.1e}" for e in (row.reverse, row.forward, row.theorem))
            table.add_row(row.setting, *errors, row.bias)
    images, outputs = golden["output"].shape
    console.print(
        f"Compared with {config.golden.name}: zennit's heatmaps of {images} images and {outputs} "
        f"outputs, float64.\nForward: {golden['x'].shape[1]} channels as sources, all outputs in "
        "one pass. Greatest errors, relative to the greatest magnitude."
    )
    console.print(table)
    wrong = [row.setting for row in rows if not row.agrees]
    verdict = f"off by more than {LIMIT:g}: {', '.join(wrong)}" if wrong else f"all ≤ {LIMIT:g}"
    seconds = time.perf_counter() - started
    console.print(f"{len(rows)} settings, {verdict}. {seconds:.0f} s with compilation.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))

"""Find which of two inputs a regression uses: y = x1³ + noise; x2 means nothing.

A multilayer perceptron is trained through its relevances: the loss is the squared error of bias +
relevance of x1 + relevance of x2. The figure shows these parts over x1, with x2 drawn at random.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from experiments import results
from experiments.command import (
    atomic_outputs,
    exit_on_error,
    exit_on_interrupt,
    keep_programs,
    lazy_imports,
)

with lazy_imports():
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    import tyro
    from flax import linen as nn
    from matplotlib.animation import PillowWriter
    from matplotlib.figure import Figure
    from rich.console import Console
    from rich.progress import track

    import rfp_jax
    from rfp_jax import losses, plot

RANGE = 3.0
"""Inputs are uniform between minus this and this."""

TIMES = 50
"""So many times in a training is the state looked at: the frames of the animation."""


@dataclass(frozen=True)
class Settings:
    """Settings of the command.

    Attributes:
        steps: Steps of training, each on a new batch.
        batch_size: Samples in a batch.
        learning_rate: Step size of Adam.
        noise: Standard deviation of the noise in y.
        seed: Seed of the weights and of all samples.
    """

    steps: int = 5000
    batch_size: int = 4096
    learning_rate: float = 1e-3
    noise: float = 0.1
    seed: int = 42

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(
                f"steps and batch_size must be at least 1, got {self.steps} and {self.batch_size}"
            )
        if not 0 < self.learning_rate < float("inf"):  # also refuses nan
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.noise < float("inf") or self.seed < 0:
            raise ValueError(
                f"noise and seed must not be negative, got {self.noise} and {self.seed}"
            )


class Network(nn.Module):
    """A multilayer perceptron 2-32-32-32-1 with ReLU."""

    @nn.compact
    def __call__(self, x1: jax.Array, x2: jax.Array) -> jax.Array:
        """Predictions [batch, 1] from two inputs [batch, 1]."""
        x = jnp.concatenate([x1, x2], axis=1)
        for _ in range(3):
            x = nn.relu(nn.Dense(32)(x))
        return nn.Dense(1)(x)


class State(NamedTuple):
    """Results at one time in training.

    Attributes:
        step: steps taken so far.
        variables: of the network.
        loss: mean squared error, the mean over the steps since the last time.
    """

    step: int
    variables: Any
    loss: float


explain = rfp_jax.jit(rfp_jax.relevance(Network().apply, argnums=(1, 2)))
"""`explain(variables, x1, x2)`: the relevance of both inputs, [batch, 1] each."""


def sample(key: jax.Array, size: int, noise: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draw samples of y = x1³ + noise.

    Args:
        key: random key.
        size: how many.
        noise: standard deviation.

    Returns:
        `x1`, `x2` and `y`, [size, 1] each.
    """
    of_x, of_noise = jax.random.split(key)
    x = jax.random.uniform(of_x, (size, 2), minval=-RANGE, maxval=RANGE)
    x1, x2 = x[:, :1], x[:, 1:]
    return x1, x2, x1**3 + noise * jax.random.normal(of_noise, (size, 1))


def train(settings: Settings) -> Iterator[State]:
    """Train through the relevance form.

    Args:
        settings: what can be set.

    Yields:
        The state at `TIMES` times, the last one at the end, or after every step if there are fewer.
    """
    optimizer = optax.adam(settings.learning_rate)
    of_weights, of_samples = jax.random.split(jax.random.key(settings.seed))
    variables = Network().init(of_weights, *sample(of_samples, 1, 0.0)[:2])

    def loss(variables: Any, key: jax.Array) -> jax.Array:
        x1, x2, y = sample(key, settings.batch_size, settings.noise)
        relevance = explain(variables, x1, x2)
        return losses.relevance_loss(relevance, y, weight=0.0, loss=mean_squared_error)

    @jax.jit
    def steps(state: tuple[Any, Any], numbers: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
        def step(state: tuple[Any, Any], number: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
            variables, memory = state
            key = jax.random.fold_in(of_samples, number)
            value, gradient = jax.value_and_grad(loss)(variables, key)
            updates, memory = optimizer.update(gradient, memory, variables)
            return (optax.apply_updates(variables, updates), memory), value

        state, values = jax.lax.scan(step, state, numbers)
        return state, values.mean()

    state = variables, optimizer.init(variables)
    for numbers in np.array_split(np.arange(settings.steps), min(TIMES, settings.steps)):
        state, value = steps(state, numbers)
        yield State(int(numbers[-1]) + 1, state[0], float(value))


def mean_squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error of [batch, 1], a scalar."""
    return jnp.mean((prediction - target) ** 2)


def summarize(settings: Settings, variables: Any, size: int = 4096) -> dict[str, float]:
    """Put the relevance of new samples into numbers.

    In a network of linear layers and ReLU, relevance is gradient times input. If the network has
    learned y = x1³, the relevance of x1 is therefore near 3 x1³ and the bias near -2 x1³.

    Args:
        settings: what the network was trained with.
        variables: of the trained network.
        size: how many samples.

    Returns:
        The error of the prediction, and the spread of each part of it over the samples.
    """
    x1, x2, y = sample(jax.random.key(settings.seed + 1), size, settings.noise)
    relevance = explain(variables, x1, x2)
    first, second = relevance.sources
    plain = Network().apply(variables, x1, x2)
    return {
        "mean_squared_error": float(mean_squared_error(relevance.output, y)),
        "noise_variance": settings.noise**2,
        "standard_deviation_of_x1_relevance": float(first.std()),
        "standard_deviation_of_x2_relevance": float(second.std()),
        "standard_deviation_of_bias": float(relevance.bias.std()),
        "largest_x2_relevance": float(jnp.abs(second).max()),
        "root_mean_square_of_x1_relevance_minus_3_cubes": float(
            jnp.sqrt(mean_squared_error(first, 3 * x1**3))
        ),
        "largest_difference_of_sum_from_output": float(
            jnp.abs(first + second + relevance.bias - plain).max()
        ),
    }


def draw(figure: Figure, settings: Settings, state: State, points: int = 600) -> None:
    """Draw prediction, bias and relevance of both inputs over x1.

    Args:
        figure: the figure to draw on; what is there is cleared.
        settings: what the network is trained with.
        state: the network.
        points: at how many values of x1.
    """
    x1 = np.linspace(-RANGE, RANGE, points, dtype=np.float32)[:, None]
    x2 = np.asarray(sample(jax.random.key(settings.seed + 2), points, 0.0)[1])
    relevance = explain(state.variables, x1, x2)
    colors = plot.source_colors(["x1", "x2"])
    parts = {
        "prediction": (relevance.output, plot.OUTPUT_COLOR),
        "bias": (relevance.bias, plot.BIAS_COLOR),
        "relevance of x1": (relevance.sources[0], colors["x1"]),
        "relevance of x2": (relevance.sources[1], colors["x2"]),
    }
    figure.clear()
    ax = figure.subplots()
    ax.plot(x1, x1**3, color="black", linewidth=0.8, linestyle="--", label="x1³")
    for name, (values, color) in parts.items():
        ax.plot(x1, values, ".", color=color, markersize=3, label=name)
    limit = 1.05 * 3 * RANGE**3  # the relevance of x1 tends to 3 x1³
    ax.set(xlabel="x1 (x2 is random)", ylabel="y", xlim=(-RANGE, RANGE), ylim=(-limit, limit))
    ax.set_title(f"after {state.step} steps", fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, markerscale=3, loc="upper center")


def main(
    settings: tyro.conf.OmitArgPrefixes[Settings],
    animation: bool = False,
    out: Path = Path("results/regression"),
) -> None:
    """Train, explain, draw.

    Args:
        settings: What can be set.
        animation: Whether to write an animation of the training too.
        out: Folder for the results; made if missing.
    """
    console = Console(highlight=False)
    with exit_on_error():
        results.claim(out, "regression", asdict(settings))
    with atomic_outputs(out) as folder:
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        writer = PillowWriter(fps=10)
        if animation:
            writer.setup(figure, folder / "regression.gif", dpi=80)
        total = min(TIMES, settings.steps)
        state = State(0, None, float("nan"))
        for state in track(train(settings), "Training", total=total, console=console):
            if animation:
                draw(figure, settings, state)
                writer.grab_frame()
        if animation:
            writer.finish()
        draw(figure, settings, state)
        figure.savefig(folder / "regression.png", dpi=120)
        summary = summarize(settings, state.variables)
        results.write_json(folder / "summary.json", summary)
        names = sorted(path.name for path in folder.iterdir())
    for name, value in summary.items():
        console.print(f"{name.replace('_', ' '):50} {value:.3g}")
    for name in names:
        console.print(out / name, soft_wrap=True)


if __name__ == "__main__":
    with exit_on_interrupt():
        keep_programs()
        tyro.cli(main, prog="python -m experiments.regression", description=__doc__)

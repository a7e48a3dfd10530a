"""Find the token that a transformer read: relevance of every token, on made-up sequences.

A causal transformer learns to name the digit that follows the star; the other digits and letters
are distraction. The sequences are synthetic, so the right answer is known: relevance of the last
position's output should lie with the digit after the star.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

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
    from rich.console import Console

    import rfp_jax
    from rfp_jax import plot

VOCABULARY = "0123456789abcdefghij*"
LETTERS = np.arange(10, 20)
STAR = VOCABULARY.index("*")


@dataclass(frozen=True)
class Config:
    """Settings of the command.

    Attributes:
        seed: Seed of the weights and of the sequences.
        steps: Steps of training.
        length: Tokens in a sequence.
        rules: Rules of propagation: attnlrp, cp_lrp, lrp0 or uniform.
        out: Folder for the picture; made if missing.
    """

    seed: int = 0
    steps: int = 1500
    length: int = 12
    rules: str = "attnlrp"
    out: Path = Path("results/tokens")


class Decoder(nn.Module):
    """A causal transformer of two blocks, dimension 32, that reads embedded tokens."""

    dim: int = 32
    depth: int = 2

    def setup(self) -> None:
        """Make the embedding, the blocks and the head."""
        self.embedding = nn.Embed(len(VOCABULARY), self.dim)
        self.position = self.param("position", nn.initializers.normal(0.3), (64, self.dim))
        self.norms = [nn.LayerNorm() for _ in range(2 * self.depth + 1)]
        self.attention = [nn.MultiHeadDotProductAttention(4) for _ in range(self.depth)]
        self.wide = [nn.Dense(4 * self.dim) for _ in range(self.depth)]
        self.narrow = [nn.Dense(self.dim) for _ in range(self.depth)]
        self.head = nn.Dense(10)

    def embed(self, tokens: jax.Array) -> jax.Array:
        """Vectors [batch, tokens, dim] of tokens [batch, tokens]."""
        return self.embedding(tokens)

    def read(self, h: jax.Array) -> jax.Array:
        """Scores of the digits [batch, 10], from the last position, of vectors."""
        mask = nn.make_causal_mask(jnp.zeros(h.shape[:2]))
        h = h + self.position[None, : h.shape[1]]
        for i in range(self.depth):
            h = h + self.attention[i](self.norms[2 * i](h), mask=mask)
            h = h + self.narrow[i](nn.gelu(self.wide[i](self.norms[2 * i + 1](h))))
        return self.head(self.norms[-1](h[:, -1]))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Scores of the digits [batch, 10] of tokens [batch, tokens]."""
        return self.read(self.embed(tokens))


def sequences(
    rng: np.random.Generator, count: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw sequences of letters and digits with one star, which a digit follows.

    Args:
        rng: where chance comes from.
        count: how many sequences.
        length: tokens in each.

    Returns:
        Tokens [count, length], the digit after the star [count], and where it stands [count].
    """
    tokens = rng.integers(0, 10, (count, length))
    letter = rng.random((count, length)) < 0.6
    tokens = np.where(letter, rng.choice(LETTERS, (count, length)), tokens)
    star, digit = rng.integers(0, length - 1, count), rng.integers(0, 10, count)
    rows = np.arange(count)
    tokens[rows, star], tokens[rows, star + 1] = STAR, digit
    return tokens, digit, star + 1


def train(config: Config, rng: np.random.Generator) -> Any:
    """Train the decoder on sequences drawn anew in each step; returns its variables."""
    model, optimizer = Decoder(), optax.adam(2e-3)
    tokens, _, _ = sequences(rng, 1, config.length)
    variables = model.init(jax.random.key(config.seed), tokens)

    def loss(variables: Any, tokens: jax.Array, digit: jax.Array) -> jax.Array:
        logits = cast(jax.Array, model.apply(variables, tokens))
        return optax.softmax_cross_entropy_with_integer_labels(logits, digit).mean()

    @jax.jit
    def step(variables: Any, state: Any, tokens: Any, digit: Any) -> tuple[Any, Any]:
        gradient = jax.grad(loss)(variables, tokens, digit)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(variables, updates), state

    state = optimizer.init(variables)
    for _ in range(config.steps):
        tokens, digit, _ = sequences(rng, 128, config.length)
        variables, state = step(variables, state, tokens, digit)
    return variables


def main(config: Config) -> None:
    """Train, explain, draw.

    Args:
        config: what can be set.
    """
    console, rng = Console(highlight=False), np.random.default_rng(config.seed)
    with atomic_outputs(config.out) as folder:
        variables, model = train(config, rng), Decoder()
        tokens, digit, place = sequences(rng, 500, config.length)
        embedded = model.apply(variables, tokens, method="embed")

        @rfp_jax.jit
        def explain(variables: Any, embedded: Any, digit: Any) -> Any:
            read = lambda h: model.apply(variables, h, method="read")  # noqa: E731
            heat = rfp_jax.heatmap(read, outputs=digit, rules=config.rules)(embedded)
            return read(embedded), heat.sum(-1)

        output, relevance = map(np.asarray, explain(variables, embedded, digit))
        right = (output.argmax(-1) == digit).mean()
        found = (relevance.argmax(-1) == place).mean()
        console.print(f"Right digit: {right:.3f}; most relevant token is that digit: {found:.3f}")
        plot.tokens(
            [[VOCABULARY[token] for token in row] for row in tokens[:8]],
            relevance[:8],
            names=[f"output {k}" for k in digit[:8]],
            title=f"Tokens that spoke for the digit after the star, by {config.rules}\n"
            f"(synthetic sequences, trained transformer, {right:.0%} right)",
        ).savefig(folder / "tokens.png", dpi=150)


if __name__ == "__main__":
    with exit_on_interrupt(), exit_on_error():
        keep_programs()
        main(tyro.cli(Config, description=__doc__))

"""Draw the pixels of either half that spoke for the digit: real data, half a minute.

The network and the data are those of `experiments.digits`. One backward pass tells, for the class
that the network named, how much each pixel of the left and of the right half spoke for it. A second
sheet says it by other rules, `EpsilonPlus`, that shows the evidence for a class alone.
"""

from dataclasses import dataclass
from pathlib import Path

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
    import numpy as np
    import tyro
    from rich.console import Console
    from rich.progress import Progress

    import rfp_jax
    from experiments.digits import DATA, SOURCES, train, worth_seeing
    from experiments.digits import Config as Training
    from experiments.network import TwoBranchNet
    from rfp_jax import plot, rules
    from rfp_jax.datasets import MultiSource, MultiSourceConfig, load_digits

RULES = {"lrp0": rules.lrp0, "EpsilonPlus": rules.EpsilonPlus()}


@dataclass(frozen=True)
class Config:
    """Settings of the command.

    Attributes:
        seed: Seed of the weights and of the order of the images.
        epochs: How often training goes through the training images.
        out: Folder for the pictures; made if missing.
    """

    seed: int = 42
    epochs: int = 20
    out: Path = Path("results/digits_heatmap")


def main(config: Config) -> None:
    """Train, explain some test images pixel by pixel, draw.

    Args:
        config: what can be set.
    """
    console = Console(highlight=False)
    with exit_on_error():
        results.refuse_other(config.out)
    training, test = (
        MultiSource(load_digits(split), MultiSourceConfig(seed=config.seed))
        for split in ("train", "test")
    )
    with atomic_outputs(config.out) as folder:
        with Progress(console=console) as progress:
            variables = train(Training(config.seed, config.epochs), training, progress)
        (batch,) = test.batches(len(test))
        apply = TwoBranchNet().apply
        output = np.asarray(jax.jit(apply)(variables, *batch["images"]))
        some = worth_seeing(output, batch["label"])
        images = tuple(image[some] for image in batch["images"])
        label, predicted = batch["label"][some], output[some].argmax(-1)
        pairs = list(zip(predicted, label, strict=True))
        console.print(f"Test accuracy {(output.argmax(-1) == batch['label']).mean():.4f}")
        for name, chosen in RULES.items():
            explain = rfp_jax.jit(rfp_jax.heatmap(apply, (1, 2), outputs=predicted, rules=chosen))
            heat = explain(variables, *images)
            plot.heatmap(
                dict(zip(SOURCES, images, strict=True)),
                dict(zip(SOURCES, heat, strict=True)),
                names=[f"named {k}" + ("" if k == t else f", is {t}") for k, t in pairs],
                title=f"Which pixels spoke for the digit named, by {name}: {DATA}",
                columns=3,
            ).savefig(folder / f"heatmap_{name}.png", dpi=150)
            console.print(f"{config.out / f'heatmap_{name}.png'}")


if __name__ == "__main__":
    with exit_on_interrupt():
        keep_programs()
        main(tyro.cli(Config, description=__doc__))

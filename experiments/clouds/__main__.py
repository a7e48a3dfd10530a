"""Explain a trained cloud network on a real Sentinel-2 image, band by band.

The cloud-mask network of ukis-csmask (trained by DLR), the image that spyndex ships, and the same
image with clouds painted on it. The outputs are compared with onnxruntime's, the masks with the
package's own, and the rules of propagation are certified.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.command import (
    atomic_outputs,
    bar,
    exit_on_error,
    exit_on_interrupt,
    keep_programs,
    lazy_imports,
)

with lazy_imports():
    import tyro
    from rich.console import Console
    from rich.table import Table

REPORT, CERTIFICATE = "report.json", "certificate.txt"


@dataclass(frozen=True)
class Config:
    """Settings of the command.

    Attributes:
        level: The network for images without (l1c) or with atmospheric correction (l2a). The image
            does not say which it is; its blue is as dark as after correction.
        seed: Seed of the painted clouds.
        out: Folder for the figures and the report; made if missing.
    """

    level: Literal["l1c", "l2a"] = "l2a"
    seed: int = 1
    out: Path = Path("results/clouds")


def main(config: Config) -> dict[str, Any]:
    """Explain both images, compare, certify, draw.

    Args:
        config: what can be set.

    Returns:
        What `report.json` holds.
    """
    with lazy_imports():
        from experiments.clouds.explaining import explain, explainer
        from experiments.clouds.figures import figure
        from experiments.clouds.images import BANDS, paint_clouds, real_image
        from experiments.clouds.network import package_file, package_mask, read_network
        from experiments.clouds.summary import compare, summarize
    from experiments.results import refuse_other, write_json

    console = Console(highlight=False)
    with exit_on_error():
        refuse_other(config.out)
        network = read_network(package_file(config.level))
    real = real_image()
    images = {"real": real, "painted": paint_clouds(real, config.seed)}
    report: dict[str, Any] = {"network": network.path.name, "images": {}}
    with atomic_outputs(config.out) as folder:
        explained_by = explainer(network)
        with bar(console) as progress:
            for name, image in images.items():
                task = progress.add_task(f"Explaining, {name}", total=None)
                found = explain(
                    network, explained_by, image.reflectance, lambda t=task: progress.advance(t)
                )
                summary = summarize(image, found, BANDS)
                package = package_mask(image.reflectance, BANDS, config.level)
                compared = compare(network, image, found, package)
                report["images"][name] = {**summary, "compared": compared}
                figure(image, found, BANDS, summary).savefig(folder / f"{name}.png", dpi=120)
        report["certificate"] = certify(network, real.reflectance, folder / CERTIFICATE)
        write_json(folder / REPORT, report)
        names = sorted(path.name for path in folder.iterdir())
    show(report, console)
    for name in names:
        console.print(config.out / name, soft_wrap=True)
    return report


def certify(network: Any, reflectance: Any, path: Path) -> dict[str, Any]:
    """Audit the network on the first window of an image, and write down every equation.

    Args:
        network: a `CloudNetwork`.
        reflectance: the image.
        path: the file to write.

    Returns:
        The verdict, as JSON keeps it.
    """
    import rfp_jax

    window = network.windows(reflectance)[:1]
    found = rfp_jax.audit(network.fun, 1)(network.params, window)
    path.write_text(f"{found}\n", "utf-8")
    return {
        "verdict": found.verdict,
        "passed": found.passed,
        "hints": [str(hint) for hint in found.hints],
    }


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the numbers.

    Args:
        report: what `report.json` holds.
        console: where to.
    """
    for found in report["images"].values():
        table = Table(title=f"{found['image']}: mean relevance", title_justify="left")
        sources = list(found["classes"]["cloud"]["mean_relevance"])
        for column in ("class", "pixels", *sources):
            table.add_column(column, justify="right")
        for name, each in found["classes"].items():
            means = each["mean_relevance"].values()
            cells = ("–" if mean is None else f"{mean:z.2f}" for mean in means)
            table.add_row(name, str(each["pixels"]), *cells)
        console.print(table)
        compared = found["compared"]
        console.print(
            f"logits minus onnxruntime's: {compared['logits_float32']:.1e} of the greatest in "
            f"float32, {compared['logits_float16']:.1e} with the file's float16\n"
            f"pixels named otherwise than by onnxruntime in float32: {compared['mask_float32']}, "
            f"than by the package: {compared['mask']} "
            f"(likeliest classes {compared['margin']:.1e} apart at most)\n"
            f"logits minus their parts: {found['parts_minus_logits']:.1e} of the greatest"
        )
        for what, fraction in found["found"].items():
            if fraction is not None:
                console.print(f"{what}: {fraction:.2f} of it is found")
    console.print(f"Certificate: {report['certificate']['verdict']}")


if __name__ == "__main__":
    with exit_on_interrupt():
        keep_programs()
        main(tyro.cli(Config, prog="python -m experiments.clouds", description=__doc__))

"""From the tables of an evaluation to figures and to the table of classes."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rfp_jax
from experiments.command import atomic_outputs
from experiments.sen12ms import checkpoint, figures
from experiments.sen12ms.evaluation import bias_of, has_cover, open_tables
from experiments.sen12ms.settings import CONDITIONS, Plot
from rfp_jax import plot, tables
from rfp_jax._util.parts import by_source, source_names
from rfp_jax.datasets.sen12ms import Sen12MS

if TYPE_CHECKING:
    import xarray as xr

PER_CLASS = "per_class.csv"
REPORT = "report.html"


def draw(config: Plot) -> list[Path]:
    """Draw all figures that the evaluation has the data for.

    Args:
        config: what can be set.

    Returns:
        The files.

    Raises:
        FileNotFoundError: if there is no evaluation.
        ValueError: if the two evaluations are of different patches.
    """
    found = {
        name: tables.drop_failed(table).load()
        for name, table in open_tables(config.evaluation).items()
    }
    first = next(iter(found.values()))
    arguments = tables.provenance(first)["data"]["arguments"]
    biases = "; biases shared" if bias_of(first) == "share" else ""
    about = f" ({arguments['note'] or 'SEN12MS, ' + arguments['split'] + ' split'}{biases})"
    with atomic_outputs(config.out) as folder:
        for name, figure in _figures(config, found, about):
            figure.savefig(folder / f"{name}.png", dpi=110)
        _write_classes(folder / PER_CLASS, found)
        _write_report(config, folder / REPORT, about)
        names = sorted(path.name for path in folder.iterdir())
    return [config.out / name for name in names]


def _figures(config: Plot, found: "Mapping[str, xr.Dataset]", about: str) -> Any:
    names = [str(name) for name in next(iter(found.values()))["class"].values]
    yield from _of_patches(config, found, names, about)
    for condition, table in found.items():
        if _labeled(table):
            yield (
                f"violins_{condition}",
                plot.violins(
                    by_source(table),
                    table.label.values,
                    names=names,
                    title=f"Relevance for the true class, {condition} patches{about}",
                ),
            )
    yield from _over_cover(config, found, about)
    if config.checkpoint is not None:
        yield from _pixels(config, config.checkpoint, found, about)
    if config.compare is not None:
        yield from _compared(config, found, names, about)


def _of_patches(
    config: Plot, found: "Mapping[str, xr.Dataset]", names: list[str], about: str
) -> Any:
    """Pictures of single patches, which need the data themselves."""
    data = {name: config.data.open(config.split, cloud_fraction=CONDITIONS[name]) for name in found}
    chosen = _worth_seeing(found, config.samples)
    patches = [
        {name: _shown(found[name], data[name], identity) for name in found} for identity in chosen
    ]
    if not patches:
        return
    yield "examples", figures.examples(patches, names, title=f"Patches{about}")
    title = f"What each class's output is made of{about}"
    yield "sheet", figures.sheet(patches, names, title=title)


def _pixels(config: Plot, folder: Path, found: "Mapping[str, xr.Dataset]", about: str) -> Any:
    """Draw the pixels of each source that spoke for the class that the network names."""
    network, chosen = checkpoint.load(folder), _worth_seeing(found, config.samples)
    for condition in found if chosen else ():
        data = config.data.open(config.split, cloud_fraction=CONDITIONS[condition])
        samples = [data[data.ids.index(identity)] for identity in chosen]
        names = data.config.sources
        images = {name: np.stack([sample[name] for sample in samples]) for name in names}
        arguments = (network.variables, *images.values())
        output: Any = network.model.apply(*arguments)
        explain = rfp_jax.heatmap(network.model.apply, tuple(range(1, len(arguments))))
        heats = map(np.asarray, rfp_jax.jit(explain)(*arguments))
        relevance = {name: heat.sum(-1) for name, heat in zip(names, heats, strict=True)}
        sizes = np.concatenate([np.abs(heat).ravel() for heat in relevance.values()])
        yield (
            f"pixels_{condition}",
            plot.heatmap(
                {name: figures.picture(image, name) for name, image in images.items()},
                relevance,
                names=[data.config.class_names[k] for k in np.argmax(output, -1)],
                title=f"Which pixels spoke for the class named, {condition}{about}",
                limit=float(np.quantile(sizes, 0.995)),  # a few pixels would make the rest pale
            ),
        )


def _over_cover(config: Plot, found: "Mapping[str, xr.Dataset]", about: str) -> Any:
    table = list(found.values())[-1]  # every patch once, under clouds where it has a twin
    if not has_cover(table):
        return
    share, relevance = tables.share(table), tables.select_class(table)
    title = f"Relevance for the true class against cloud cover{about}"
    yield (
        "cloud_cover",
        figures.against_cover(
            table.cloud_cover.values,
            {name: share.sel(source=name).values for name in source_names(table)},
            {name: relevance.sel(source=name).values for name in source_names(table)},
            table.prediction.values == table.label.values,
            bins=config.bins,
            title=title,
        ),
    )


def _compared(config: Plot, found: "Mapping[str, xr.Dataset]", names: list[str], about: str) -> Any:
    assert config.compare is not None
    others = {
        name: tables.drop_failed(table).load()
        for name, table in open_tables(config.compare).items()
    }
    for condition, table in found.items():
        if condition not in others or not _labeled(table):
            continue
        other = others[condition]
        if not np.array_equal(table.id.values, other.id.values):
            raise ValueError(f"{config.evaluation} and {config.compare} are of different patches")
        labels = table.label.values
        yield (
            f"densities_{condition}",
            plot.densities(
                {_loss(table): by_source(table), _loss(other): by_source(other)},
                labels,
                classes=np.unique(labels).tolist(),
                names=names,
                title=f"Relevance for each class, {condition} patches{about}",
            ),
        )


def _labeled(table: "xr.Dataset") -> bool:
    return table.label.ndim == 1


def _loss(table: "xr.Dataset") -> str:
    """Return the loss a network was trained with, as far as its manifest says."""
    settings = tables.provenance(table)["model"]["manifest"].get("settings", {})
    weight = settings.get("relevance_loss")
    return f"relevance loss, weight {weight:g}" if weight else "cross-entropy"


def _worth_seeing(found: "Mapping[str, xr.Dataset]", count: int) -> list[str]:
    """Patches of different classes that can be seen in all conditions, cloudy ones if there are."""
    last = list(found.values())[-1]
    common = set.intersection(*(set(map(str, table.id.values)) for table in found.values()))
    classes = last.label.values if _labeled(last) else np.zeros(last.sizes["sample"], int)
    cover = last.cloud_cover.values if "cloud_cover" in last.coords else np.zeros(len(classes))
    middling = np.abs(cover - 0.6)  # clouds that leave some ground to see
    order = np.lexsort((middling, ~last.cloudy.values))
    turn = np.zeros(len(order), int)
    for k in np.unique(classes):
        own = order[classes[order] == k]
        turn[own] = np.arange(len(own))
    order = order[np.argsort(turn[order], kind="stable")]
    ids = [str(last.id.values[at]) for at in order]
    return [identity for identity in ids if identity in common][:count]


def _shown(table: "xr.Dataset", data: Sen12MS, identity: str) -> figures.Shown:
    at = int(np.flatnonzero(table.id.values == identity)[0])
    row, sample = table.isel(sample=at), data[data.ids.index(identity)]
    return figures.Shown(
        optical=sample.get("optical"),
        sar=sample.get("sar"),
        label=int(row.label) if _labeled(table) else -1,
        cloud_cover=float(row.cloud_cover) if "cloud_cover" in table.coords else None,
        relevance={name: values[at] for name, values in by_source(table).items()},
        bias=row.relevance.sel(source=tables.BIAS).values,
        output=row.output.values,
    )


def _write_report(config: Plot, path: Path, about: str) -> None:
    """A page to browse, of every patch once, under clouds where it has a twin."""
    condition, table = list(open_tables(config.evaluation).items())[-1]
    data = config.data.open(config.split, cloud_fraction=CONDITIONS[condition])
    channels = {"optical": (2, 1, 0), "sar": 0}
    tables.report(
        table,
        path,
        title=f"Relevance of {' and '.join(data.config.sources)}, {condition} patches",
        note=about.strip(" ()"),
        pictures=tables.thumbnails(data, {name: channels[name] for name in data.config.sources}),
        bins=("cloud_cover",) if has_cover(table) else (),
    )


def _write_classes(path: Path, found: "Mapping[str, xr.Dataset]") -> None:
    """A row for each condition and class: patches, accuracy, median relevance and share."""
    labeled = {name: table for name, table in found.items() if _labeled(table)}
    if not labeled:
        return
    first = next(iter(labeled.values()))
    parts = [str(name) for name in first.source.values]
    shared = source_names(first)
    head = ["condition", "class", "patches", "accuracy"]
    head += [f"median relevance of {name}" for name in parts]
    head += [f"median share of {name}" for name in shared]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for condition, table in labeled.items():
            relevance, share = tables.select_class(table).values, tables.share(table).values
            right = table.prediction.values == table.label.values
            names = [*map(str, table["class"].values), "all"]
            for k, name in enumerate(names):
                rows = table.label.values == k if name != "all" else np.ones(len(right), bool)
                if not rows.any():
                    writer.writerow([condition, name, 0, *[""] * (len(head) - 3)])
                    continue
                numbers = [right[rows].mean(), *np.median(relevance[rows], 0)]
                numbers += [*np.nanmedian(share[rows], 0)]
                writer.writerow([condition, name, rows.sum(), *(f"{x:.4f}" for x in numbers)])

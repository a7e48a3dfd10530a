"""Data sets of maps and sequences: means over regions, against a slow definition in NumPy."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfp_jax import plot, tables
from rfp_jax.tables import Columns, Places, RunOptions, evaluate
from rfp_jax.tables._evaluate.places import Form

CLASSES = ("water", "forest", "built up", "crops")
K = len(CLASSES)
PARAMS = {
    name: np.random.default_rng(i).normal(size=(bands, K)).astype(np.float32)
    for i, (name, bands) in enumerate((("optical", 3), ("radar", 2)))
}
HALF = 12
BIAS = np.array([0.3, -0.2, 0.1, 0.0], np.float32)


def model(params, optical, radar):
    output = optical @ params["optical"] + radar @ params["radar"]
    return output + BIAS.reshape((1,) * (output.ndim - 1) + (K,))


def first(params, optical, radar):
    """The same model, classes first."""
    last = (jnp.moveaxis(each, 1, -1) for each in (optical, radar))
    return jnp.moveaxis(model(params, *last), -1, 1)


def samples(count=5, sizes=(6, 9), seed=0):
    draw = np.random.default_rng(seed)
    return [
        {
            "optical": draw.normal(size=(*sizes, 3)).astype(np.float32),
            "radar": draw.normal(size=(*sizes, 2)).astype(np.float32),
            "label": draw.choice([0, 0, 0, 1, 1, 3, 255], sizes).astype(np.uint8),
            "id": f"tile {i}",
            "cloud": i / 10,
        }
        for i in range(count)
    ]


def run(data, path, fun=model, places=None, chunk=2, **options):
    return evaluate(
        fun,
        data,
        path,
        params=PARAMS,
        sources=("optical", "radar"),
        classes=CLASSES,
        columns=Columns(metadata=("cloud",)),
        places=places,
        run=RunOptions(progress=False, chunk=chunk, threads=0),
        **options,
    )


def slow(sample, over):
    """Rows of a sample, place by place: class, relevance [source, class], output, pixels."""
    parts = {
        "optical": sample["optical"].astype(float) @ PARAMS["optical"],
        "radar": sample["radar"].astype(float) @ PARAMS["radar"],
    }
    parts["bias"] = np.broadcast_to(BIAS, parts["optical"].shape)
    output = np.sum(list(parts.values()), 0)
    rows = []
    for k in range(K):
        relevance, total, pixels = np.zeros((3, K)), np.zeros(K), np.zeros(K, int)
        for place in np.ndindex(output.shape[:-1]):
            label, best = int(sample["label"][place]), int(output[place].argmax())
            own, other = (label, best) if over == "label" else (best, label)
            if label == 255 or own != k:
                continue
            relevance += [each[place] for each in parts.values()]
            total, pixels[other] = total + output[place], pixels[other] + 1
        if pixels.sum():
            rows.append((k, relevance / pixels.sum(), total / pixels.sum(), pixels))
    return rows


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    data, path = samples(), tmp_path_factory.mktemp("dense") / "table.zarr"
    run(data, path, places=Places(ignore_index=255, keep_maps=True))
    return data, path


@pytest.mark.parametrize("over", ["label", "prediction"])
def test_rows_are_means_over_the_places_of_each_class(made, over):
    data, path = made
    table = tables.open(path, over=over).load()
    expected = [(i, *row) for i, sample in enumerate(data) for row in slow(sample, over)]
    assert table.sizes["sample"] == len(expected)
    assert table.number.values.tolist() == [i for i, *_ in expected]
    assert table.id.values.tolist() == [f"tile {i}" for i, *_ in expected]
    assert table.cloud.values.tolist() == [i / 10 for i, *_ in expected]
    np.testing.assert_array_equal(table.pixels, [pixels for *_, pixels in expected])
    np.testing.assert_allclose(table.relevance, [r for _, _, r, _, _ in expected], atol=2e-6)
    np.testing.assert_allclose(table.output, [y for *_, y, _ in expected], atol=2e-6)
    np.testing.assert_allclose(table.relevance.sum("source"), table.output, atol=2e-6)
    own = [k for _, k, *_ in expected]
    if over == "label":
        assert table.label.values.tolist() == own
        np.testing.assert_array_equal(table.prediction, table.output.argmax("class"))
    else:
        assert table.prediction.values.tolist() == own
        assert "label" not in table.coords
    assert table.finite.all()


@pytest.mark.parametrize("over", ["label", "prediction"])
def test_accuracy_and_iou_count_pixels(made, over):
    data, path = made
    label = np.concatenate([sample["label"].ravel() for sample in data]).astype(int)
    output = [model(PARAMS, s["optical"], s["radar"]).reshape(-1, K) for s in data]
    predicted = np.concatenate(output).argmax(-1)
    known = label != 255
    found = tables.summary(tables.open(path, over=over))
    assert found["accuracy"] == pytest.approx((label == predicted)[known].mean())
    assert found["labeled"] == known.sum()
    assert (found["samples"], found["failures"]) == (len(data), 0)
    for k, name in enumerate(CLASSES):
        both = ((label == k) & (predicted == k))[known].sum()
        either = ((label == k) | (predicted == k))[known].sum()
        assert found["iou"][name] == pytest.approx(both / either)
    assert found["mean_iou"] == pytest.approx(np.mean(list(found["iou"].values())))
    assert tables.accuracy(tables.open(path, over=over)) == found["accuracy"]


def test_maps_are_kept(made):
    data, path = made
    maps = tables.open_maps(path).load()
    assert maps.relevance.dims == ("sample", "source", "y", "x")
    for i, sample in enumerate(data):
        output = model(PARAMS, sample["optical"], sample["radar"])
        best = output.argmax(-1)
        one = maps.isel(sample=i)
        np.testing.assert_array_equal(one.prediction, best)
        np.testing.assert_array_equal(
            one.label, np.where(sample["label"] == 255, -1, sample["label"].astype(int))
        )
        np.testing.assert_allclose(one.output, output.max(-1), atol=2e-6)
        optical = np.take_along_axis(sample["optical"] @ PARAMS["optical"], best[..., None], -1)
        np.testing.assert_allclose(one.relevance.sel(source="optical"), optical[..., 0], atol=2e-6)
        np.testing.assert_allclose(one.relevance.sum("source"), one.output, atol=2e-6)
        assert one.id == f"tile {i}"
        assert one.cloud == i / 10
    assert json.loads(maps.attrs["classes"]) == list(CLASSES)


def test_figures_and_the_report_take_such_a_table(made, tmp_path):
    data, path = made
    table = tables.open(path)
    assert len(plot.violins(table).axes) == 3
    assert plot.densities({"one": table}, classes=["water", "forest"]).axes
    asked = []

    def pictures(index):
        asked.append(index)
        return {"optical": (255 * (data[index]["optical"] > 0)).astype(np.uint8)}

    tables.report(table, tmp_path / "r.html", pictures=pictures, bins=("cloud",))
    page = (tmp_path / "r.html").read_text()
    assert asked == table.number.values.tolist()  # of the sample, not of the row
    assert "mean IoU" in page
    assert "tile 4" in page
    predicted = tables.open(path, over="prediction")
    tables.report(predicted, tmp_path / "p.html")
    assert "mean IoU" in (tmp_path / "p.html").read_text()
    tables.to_csv(table, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert len(lines) == 1 + table.sizes["sample"] * 3 * K


def test_classes_first_and_sequences_give_the_same(tmp_path):
    data = samples()
    last = run(data, tmp_path / "last.zarr", places=Places(ignore_index=255)).load()
    channels = [
        s | {name: np.moveaxis(s[name], -1, 0) for name in ("optical", "radar")} for s in data
    ]
    second = run(channels, tmp_path / "first.zarr", first, Places(ignore_index=255)).load()
    flat = [
        s | {n: s[n].reshape(-1, *s[n].shape[2:]) for n in ("optical", "radar", "label")}
        for s in data
    ]
    places = Places(ignore_index=255, keep_maps=True)
    sequences = run(flat, tmp_path / "flat.zarr", places=places).load()
    for other in (second, sequences):
        np.testing.assert_allclose(other.relevance, last.relevance, atol=2e-6)
        np.testing.assert_array_equal(other.pixels, last.pixels)
    assert tables.open_maps(tmp_path / "flat.zarr").relevance.dims == ("sample", "source", "time")


def test_without_labels_rows_are_regions_of_the_prediction(tmp_path):
    data = [{k: v for k, v in s.items() if k != "label"} for s in samples()]
    table = run(data, tmp_path / "t.zarr").load()
    counts = [
        np.bincount(model(PARAMS, s["optical"], s["radar"]).argmax(-1).ravel(), minlength=K)
        for s in data
    ]
    assert table.pixels.values.sum(1).tolist() == [n for each in counts for n in each if n]
    assert "label" not in table.coords
    found = tables.summary(table)
    assert (found["accuracy"], found["labeled"]) == (None, 0)
    assert "iou" not in found
    with pytest.raises(ValueError, match="was made without labels"):
        tables.open(tmp_path / "t.zarr", over="label")
    with pytest.raises(ValueError, match="has no maps"):
        tables.open_maps(tmp_path / "t.zarr")


def test_labels_that_do_not_fit_fail_by_sample(tmp_path):
    data = samples(6)
    data[0]["label"] = data[0]["label"][:-1]
    data[1]["label"] = np.full((6, 9), 7)
    data[2]["label"] = np.full((6, 9), 255)
    data[3]["label"] = None
    data[4]["label"] = np.where(data[4]["label"] == 255, np.nan, data[4]["label"])
    table = run(data, tmp_path / "t.zarr", places=Places(ignore_index=255)).load()
    failures = dict(zip(table.id.values, table.failure.values, strict=True))
    assert "for each place of the output, [6, 9], got [5, 9]" in failures["tile 0"]
    assert "[7] are not numbers of classes, which go from 0 to 3" in failures["tile 1"]
    assert "none of its 54 places counts" in failures["tile 2"]
    assert "it has no label" in failures["tile 3"]
    assert failures["tile 4"] == failures["tile 5"] == ""
    good = tables.drop_failed(table)
    expected = [row for i in (4, 5) for row in slow(samples(6)[i], "label")]
    np.testing.assert_array_equal(good.pixels, [pixels for *_, pixels in expected])
    assert tables.summary(table)["failures"] == 4
    assert tables.summary(table)["samples"] == 6


def test_labels_of_which_none_fits_are_refused_at_once(tmp_path):
    def refused(label, match, **options):
        data = [s | {"label": label} for s in samples(3)]
        with pytest.raises(ValueError, match=match):
            run(data, tmp_path / "t.zarr", **options)
        assert not list(tmp_path.iterdir())

    refused(np.zeros((3, 3), int), r"no label of the samples looked at fits; that of tile 0")
    refused(np.full((6, 9), 4), r"\[4\] are not numbers of classes")
    refused(np.full((6, 9), 255), r"Places\(ignore_index=...\)")
    refused(np.full((6, 9), 255), "none of its 54 places", places=Places(ignore_index=255))
    refused(np.full((6, 9), 0.5), r"\[0.5\] are not numbers of classes")
    refused(np.zeros((6, 9, K), int), "one-hot labels: take the arg-max")
    refused(np.zeros((6, 9), int), "outputs with places have one class", labels="soft")


def test_outputs_that_do_not_fit(tmp_path):
    square = [
        s | {"optical": np.zeros((K, 9, 3), "f4"), "radar": np.zeros((K, 9, 2), "f4")}
        for s in samples(2)
    ]
    with pytest.raises(ValueError, match=r"places=Places\(dims=...\), 'byxc' or 'bcyx'"):
        run(square, tmp_path / "t.zarr")
    with pytest.raises(ValueError, match=r"dims='bcyx'.* does not fit the model's output"):
        run(samples(2), tmp_path / "t.zarr", places=Places(dims="bcyx"))
    with pytest.raises(ValueError, match="must have a letter of its own for each dimension"):
        Places(dims="yxc")
    with pytest.raises(ValueError, match="places= is for outputs with places"):
        run(samples(2), tmp_path / "t.zarr", lambda p, a, b: model(p, a, b).mean((1, 2)), Places())
    data = [s | {"label": 1} for s in samples(2)]
    run(data, tmp_path / "plain.zarr", lambda p, a, b: model(p, a, b).mean((1, 2)))
    with pytest.raises(ValueError, match="over= is for tables of outputs with places"):
        tables.open(tmp_path / "plain.zarr", over="label")
    assert [each.name for each in tmp_path.iterdir()] == ["plain.zarr"]


def test_a_place_that_is_not_finite_spoils_its_region_alone(tmp_path):
    data = samples(2)
    for sample in data:
        sample["label"][sample["label"] == 255] = 0
        sample["label"][0, :2] = 1, 3

    def overflows(params, optical, radar):
        y = model(params, optical, radar)
        return y.at[:, 0, 0].multiply(jnp.float32(3e38)).at[:, 0, 0].multiply(jnp.float32(3e38))

    table = run(data, tmp_path / "t.zarr", overflows).load()
    np.testing.assert_array_equal(table.finite, table.label != 1)
    assert tables.summary(table)["nonfinite"] == 2


def test_a_run_goes_on_and_gives_the_same_bytes(tmp_path, monkeypatch):
    data, places = samples(5), Places(ignore_index=255, keep_maps=True)
    whole = run(data, tmp_path / "whole.zarr", places=places)
    from rfp_jax.tables._evaluate.journal import Journal

    commit = Journal.commit

    def dying(self, chunk, columns, counts):
        if chunk == 1:
            raise KeyboardInterrupt
        commit(self, chunk, columns, counts)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "commit", dying)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "again.zarr", places=places)
    part = tables.open(tmp_path / "again.zarr", incomplete=True)
    assert set(part.number.values) == {0, 1}
    with pytest.raises(tables.TableMismatchError, match="places"):
        run(data, tmp_path / "again.zarr", places=Places(ignore_index=255))
    run(data, tmp_path / "again.zarr", places=places)
    for file in sorted((tmp_path / "whole.zarr").rglob("c.*")):
        other = tmp_path / "again.zarr" / file.relative_to(tmp_path / "whole.zarr")
        assert file.read_bytes() == other.read_bytes(), file
    assert whole.equals(tables.open(tmp_path / "again.zarr"))
    next((tmp_path / "again.zarr" / "map_relevance").glob("c.1*")).unlink()
    with pytest.raises(tables.DamagedTableError, match=r"map_relevance/c\.1.* \(samples 2 to 3\)"):
        tables.open(tmp_path / "again.zarr")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_regions_of_halves_add_up(seed):
    """Means of two halves, weighted by their places, are those of the whole."""
    draw = np.random.default_rng(seed)
    label = draw.integers(-1, K, (1, 2 * HALF)).astype(np.int32)
    output = draw.normal(size=(1, 2 * HALF, K)).astype(np.float32)
    relevance = draw.normal(size=(3, 1, 2 * HALF, K)).astype(np.float32)

    def means(part):
        form = Form("btc", (label[:, part].shape[1],), K, True, None, False)
        reduced = jax.jit(form.reduce)(relevance[:, :, part], output[:, part], label[:, part])
        return jax.tree.map(np.asarray, reduced)

    whole, halves = means(slice(None)), [means(slice(HALF)), means(slice(HALF, None))]
    pixels = [each.pixels.sum(-1) for each in halves]
    np.testing.assert_array_equal(whole.pixels, halves[0].pixels + halves[1].pixels)
    sums = sum(
        np.nan_to_num(each.relevance) * n[..., None, None]
        for each, n in zip(halves, pixels, strict=True)
    )
    total = whole.pixels.sum(-1)[..., None, None]
    np.testing.assert_allclose(np.nan_to_num(whole.relevance) * total, sums, atol=1e-4)
    np.testing.assert_array_equal(np.isnan(whole.output).all(-1), whole.pixels.sum(-1) == 0)

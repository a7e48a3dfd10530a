"""Bad samples are recorded, and the rest goes on."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax import tables
from rfp_jax.tables import (
    BadSampleError,
)
from tests.tables.evaluate_runs import Patches, by_hand, changed, run, unreadable


def without(key):
    return lambda s: {k: v for k, v in s.items() if k != key}


BAD = {
    0: (
        changed(optical=np.zeros(5, np.float32)),
        "ValueError: 'optical' must have the shape (8,), got",
    ),
    2: (unreadable, "OSError: truncated file"),
    3: (changed(sar=np.float32([1, np.nan, np.inf, 0])), "'sar': 2 of 4 values are not finite"),
    5: (without("sar"), "no 'sar' in the sample, which has 'optical', 'label'"),
    9: (list, "a sample must be a mapping of names to arrays, got list"),
    10: (changed(label=3), "the label: 3 is not the number of a class, there are 3"),
    11: (changed(optical=np.zeros(8, np.int32)), "'optical' must be floating point, got int32[8]"),
    12: (changed(cloud_cover="much"), "metadata 'cloud_cover': must be a number, got 'much'"),
    13: (without("label"), "no 'label' in the sample"),
}


def test_bad_samples_are_recorded_and_the_rest_goes_on(tmp_path, capsys):
    data = Patches(spoil={index: spoil for index, (spoil, _) in BAD.items()})
    table = run(data, tmp_path / "t.zarr", progress=True).load()
    good = np.array([i not in BAD for i in range(21)])
    np.testing.assert_allclose(table.relevance[good], by_hand(21)[good], rtol=1e-5, atol=1e-5)
    assert np.isnan(table.relevance[~good]).all()
    assert np.isnan(table.output[~good]).all()
    assert (table.finite.values == good).all()
    assert (table.prediction.values[~good] == -1).all()
    assert ((table.failure.values == "") == good).all()
    for index, (_, reason) in BAD.items():
        assert reason in table.failure.values[index]
    assert table.id.values[3] == "patch-3"  # what could be read is kept
    assert table.label.values[3] == 0
    assert table.id.values[2] == "2"  # nothing could be read: the index
    summary = tables.summary(table)
    assert (summary["samples"], summary["failures"], summary["nonfinite"]) == (21, len(BAD), 0)
    printed = capsys.readouterr().err
    assert "21/21" in printed
    assert f"{len(BAD)} failed" in printed
    assert "samples/s" in printed
    assert "truncated file" in printed


def test_failed_samples_keep_given_ids(tmp_path):
    ids = [f"s2_{i}.tif" for i in range(21)]
    table = run(Patches(spoil={2: unreadable}), tmp_path / "t.zarr", ids=ids)
    assert tables.first_failures(table, 5) == [("s2_2.tif", "OSError: truncated file")]


def test_strict_stops_at_the_first_and_keeps_what_is_committed(tmp_path):
    data = Patches(spoil={17: unreadable, 18: unreadable})
    with pytest.raises(BadSampleError, match=r"sample 17 \(17\): OSError: truncated file") as error:
        run(data, tmp_path / "t.zarr", strict=True)
    assert "the same call goes on there" in error.value.__notes__[0]
    table = tables.open(tmp_path / "t.zarr", incomplete=True)
    np.testing.assert_allclose(table.relevance, by_hand(16), rtol=1e-5, atol=1e-5)


def exploding(params, optical, sar):
    return optical @ params["optical"] + jnp.exp(100 * sar) @ params["sar"]


@pytest.mark.parametrize("strict", [False, True])
def test_overflow_is_flagged(tmp_path, strict):
    data = Patches(spoil={4: changed(sar=np.float32([9, 0, 0, 0]))})
    others = {i: changed(sar=np.zeros(4, np.float32)) for i in range(21) if i != 4}
    data.spoil |= others
    if strict:
        with pytest.raises(
            BadSampleError, match=r"sample 4 \(patch-4\): output or relevance is not"
        ):
            run(data, tmp_path / "t.zarr", fun=exploding, strict=True)
        return
    table = run(data, tmp_path / "t.zarr", fun=exploding)
    assert np.flatnonzero(~table.finite.values).tolist() == [4]
    assert table.failure.values[4] == ""
    assert not np.isfinite(table.relevance[4]).all()
    summary = tables.summary(table)
    assert (summary["failures"], summary["nonfinite"]) == (0, 1)


def test_no_readable_sample(tmp_path):
    data = Patches(3, spoil=dict.fromkeys(range(3), unreadable))
    with pytest.raises(ValueError, match=r"none of 3 samples can be read:\n  0: OSError"):
        run(data, tmp_path / "t.zarr")
    assert not list(tmp_path.iterdir())


def test_a_generator_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(TypeError, match=r"generator has no random access.*list\(data\)"):
        run((sample for sample in Patches()), tmp_path / "t.zarr")


def test_a_path_is_a_name(tmp_path):
    data = Patches(spoil={i: changed(id=Path("scenes") / f"{i}.tif") for i in range(21)})
    assert run(data, tmp_path / "t.zarr").id.values[4] == str(Path("scenes/4.tif"))

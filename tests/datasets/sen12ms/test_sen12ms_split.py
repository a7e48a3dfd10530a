"""Lists of the published length, validation lists by scene, and splits that overlap."""

import pickle

import numpy as np
import pytest

from rfp_jax.datasets.sen12ms import (
    Patch,
    Sen12MS,
    Sen12MSConfig,
    TimeSeries,
    UnitWarning,
    _lists,
    draw_validation,
)
from rfp_jax.datasets.sen12ms._command import main
from rfp_jax.datasets.sen12ms._lists import read_split
from tests.datasets.sen12ms.archives import SIZE, archive, write_tif


def names(path):
    return path.read_text().split()


def write(folder, split, patches):
    (folder / f"{split}_list.txt").write_text("".join(f"{patch.name}\n" for patch in patches))


def test_the_work_for_a_list_grows_as_the_list(tmp_path):
    """A patch that is compared with all others is compared in Python: `Patch` is a tuple."""
    compared = 0

    class Counted(str):
        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    season = Counted("ROIs1158_spring")
    found = {}
    for size in (200, 400):
        compared = 0
        patches = [Patch(Counted(season), 1, number) for number in range(size - 1)]
        given = iter([*patches, Patch(Counted(season), 1, size - 2)])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_lists.Patch, "parse", lambda name, given=given: next(given))
            with pytest.raises(ValueError, match="twice"):
                _lists._patches(tmp_path / "list", ["a"] * size)
        found[size] = compared
    assert found[400] <= 3 * max(found[200], 1)


def test_a_list_of_the_published_length_is_read(tmp_path):
    patches = [Patch("ROIs1868_summer", n // 700, n % 700) for n in range(162_556)]
    (tmp_path / "train_list.pkl").write_bytes(pickle.dumps([patch.name for patch in patches]))
    assert len(read_split(tmp_path, "train")) == 162_556 - 1  # one of them is known to be broken


def test_a_scene_is_on_one_side_whatever_the_order():
    rng = np.random.default_rng(0)
    patches = [
        Patch(season, scene, number)
        for season in ("ROIs1158_spring", "ROIs2017_winter")
        for scene in range(20)
        for number in range(rng.integers(5, 60))
    ]
    train, val = draw_validation(patches, fraction=0.15, seed=3)
    assert sorted([*train, *val]) == sorted(patches)
    assert not {patch[:2] for patch in train} & {patch[:2] for patch in val}
    assert 0.15 * len(patches) <= len(val) < 0.15 * len(patches) + 60
    mixed = [patches[place] for place in rng.permutation(len(patches))]
    assert set(draw_validation(mixed, fraction=0.15, seed=3).val) == set(val)
    assert set(draw_validation(patches, fraction=0.15, seed=4).val) != set(val)


@pytest.mark.parametrize(
    ("fraction", "scenes", "message"),
    [
        (0, 9, "between 0 and 1"),
        (1.0, 9, "between 0 and 1"),
        (float("nan"), 9, "between 0 and 1"),
        (0.1, 1, "1 scenes are too few"),
        (0.95, 2, "2 scenes are too few"),
    ],
)
def test_draws_that_cannot_be_made_are_refused(fraction, scenes, message):
    patches = [Patch("ROIs1158_spring", scene, n) for scene in range(scenes) for n in range(9)]
    with pytest.raises(ValueError, match=message):
        draw_validation(patches, fraction=fraction)


def test_the_command_draws_a_validation_list(copy, capsys):
    for path in copy.glob("val_list*"):
        path.unlink()
    season = "ROIs1970_fall"
    patches = [Patch(season, 900 + scene, n) for scene in range(10) for n in range(5)]
    (copy / "train_list.pkl").write_bytes(pickle.dumps([patch.name for patch in patches]))
    (copy / "train_list_cloudy.pkl").write_bytes(pickle.dumps([p.name for p in patches[::2]]))
    with pytest.raises(FileNotFoundError, match=r"rfp-jax sen12ms split .* draws one"):
        read_split(copy, "val")
    assert main(["split", str(copy), "--fraction", "0.2", "--seed", "1"]) == 0
    printed = capsys.readouterr().out
    assert "train: 40 patches of 8 scenes" in printed
    assert "val: 10 patches of 2 scenes" in printed
    train, val = read_split(copy, "train"), read_split(copy, "val")
    assert (list(train), list(val)) == tuple(
        map(list, draw_validation(patches, fraction=0.2, seed=1))
    )
    assert set(names(copy / "val_list_cloudy.txt")) == (
        {patch.name for patch in val} & {patch.name for patch in patches[::2]}
    )
    assert len(pickle.loads((copy / "train_list.pkl").read_bytes())) == 50
    before = names(copy / "val_list.txt")
    assert main(["split", str(copy)]) == 1
    assert "val_list.txt exists already" in capsys.readouterr().err
    assert names(copy / "val_list.txt") == before


def test_splits_that_overlap_are_refused(tmp_path):
    patches = [Patch("ROIs1158_spring", 3, number) for number in range(6)]
    write(tmp_path, "train", patches[:4])
    write(tmp_path, "val", patches[4:])
    write(tmp_path, "test", patches[3:4])
    assert read_split(tmp_path, "val") == tuple(patches[4:])
    for split in ("train", "test"):
        with pytest.raises(ValueError, match=rf"_list in .* both name {patches[3].name}"):
            read_split(tmp_path, split)


# ---- the cloudy archive ------------------------------------------------------------------------


def test_a_wrong_folder_of_clouds_is_found_before_anything_is_read(copy, tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match=r"wrong has no folder of SEN12MS-CR: expected"):
        archive(copy, cloudy=tmp_path / "wrong")
    assert main(["check", str(copy), "--size", str(SIZE), "--cloudy", str(tmp_path / "wrong")]) == 1
    found = capsys.readouterr()
    assert "has no folder of SEN12MS-CR" in found.err
    assert not found.out
    for path in copy.glob("*_s2_cloudy/*/*.tif"):
        path.unlink()
    assert archive(copy).twins.any()  # the list says so
    with pytest.raises(FileNotFoundError, match=r"has no cloudy file of the 12 patches"):
        Sen12MS(archive(copy), Sen12MSConfig(cloud_fraction=1.0))
    assert Sen12MS(archive(copy))[0]["id"]  # clear ones do not need them
    assert main(["check", str(copy), "--size", str(SIZE), "--splits", "test"]) == 1
    found = capsys.readouterr()
    assert "has no cloudy file" in found.err
    assert not found.out


# ---- units -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "count", "scale", "message"),
    [("s2", 13, 0.4, "reflectance from 0 to 1"), ("s1", 2, 0.2, "linear power")],
)
def test_other_units_are_pointed_out(copy, capsys, kind, count, scale, message):
    patches = archive(copy)
    image = np.random.default_rng(0).uniform(0, scale, (count, SIZE, SIZE)).astype(np.float32)
    write_tif(patches.file(0, kind), image)
    with pytest.warns(UnitWarning, match=rf"{patches.file(0, kind).name}: .*{message}"):
        Sen12MS(patches)[0]
    Sen12MS(patches)[1]
    assert main(["check", str(copy), "--size", str(SIZE), "--splits", "test"]) == 1
    assert message in capsys.readouterr().out


# ---- time series -------------------------------------------------------------------------------


def test_time_series_equal_what_was_written(tmp_path):
    rng = np.random.default_rng(0)
    written = {}
    for time, (radar_day, optical_day) in enumerate(
        [("2018-01-03", "2018-01-05"), ("2018-01-15", "2018-01-20")]
    ):
        for sensor, day in (("s1", radar_day), ("s2", optical_day)):
            folder = tmp_path / "ROIs1868" / "17" / sensor.upper() / str(time)
            for number in (0, 76):
                image = (
                    rng.uniform(-25, 0, (2, SIZE, SIZE)).astype(np.float32)
                    if sensor == "s1"
                    else rng.integers(100, 9000, (13, SIZE, SIZE)).astype(np.uint16)
                )
                name = f"{sensor}_ROIs1868_17_ImgNo_{time}_{day}_patch_{number}.tif"
                write_tif(folder / name, image)
                written[number, time, sensor] = image
    series = TimeSeries(tmp_path, size=SIZE)
    assert [tuple(place) for place in series.places] == [("ROIs1868", 17, 0), ("ROIs1868", 17, 76)]
    assert list(series.times(1)) == [0, 1]
    assert str(series.times(1)[1].s2_date) == "2018-01-20"
    found = series.read(1, 1, optical="rgb", sar=True, cover=True)
    radar, optical = written[76, 1, "s1"], written[76, 1, "s2"]
    mean, std = np.array([-11.76858, -18.294598]), np.array([4.525339, 4.3586307])
    np.testing.assert_allclose(found.sar, (radar.transpose(1, 2, 0) - mean) / std, atol=1e-5)
    assert found.optical.shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(
        found.optical[..., 0], (optical[1] - 1226.4215) / 741.6254, atol=1e-5
    )
    assert 0 <= found.cloud_cover <= 1
    series.times(0)[0].s2.unlink()
    half = TimeSeries(tmp_path, size=SIZE)
    with pytest.raises(FileNotFoundError, match="no s2 image of ROIs1868, site 17, patch 0"):
        half.read(0, 0, optical="s2", sar=False, cover=False)
    (tmp_path / "ROIs1868/17/S2/1/s2_ROIs1868_x.tif").touch()
    with pytest.raises(ValueError, match="has no name of SEN12MS-CR-TS"):
        TimeSeries(tmp_path)

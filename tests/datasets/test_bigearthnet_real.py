"""The six real pairs that the package `bigearthnet-common` ships, against rasterio and its tables.

Only its files are used, so `make test` installs it without what it depends on:
`pip install --no-deps bigearthnet-common==2.8.0` (pairs: CDLA-Permissive-1.0).
"""

import ast
import json
import re
import tarfile
from importlib.util import find_spec
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import rasterio

from rfp_jax.datasets.bigearthnet import BANDS, CLASSES, BigEarthNet, BigEarthNetConfig
from rfp_jax.datasets.bigearthnet._bands import SAR_BANDS
from rfp_jax.datasets.bigearthnet._classes import MERGED
from rfp_jax.tables import Columns, evaluate

SPEC = find_spec("bigearthnet_common")  # importing it would ask for its dependencies
pytestmark = pytest.mark.skipif(
    SPEC is None,
    reason="not installed: bigearthnet-common (pip install --no-deps bigearthnet-common==2.8.0)",
)


def package():
    return Path(SPEC.origin).parent


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("ben")
    for sensor in ("S1", "S2"):
        with tarfile.open(package() / f"BigEarthNet-{sensor}-Example.tar.bz2") as archive:
            archive.extractall(root, filter="data")
    return root / "BigEarthNet-S1-Example", root / "BigEarthNet-S2-Example"


def test_all_six_pairs_are_what_plain_rasterio_reads(folders):
    s1, s2 = folders
    config = BigEarthNetConfig(normalize=False, classes=43)
    data = BigEarthNet(s1, s2, config)
    assert len(data) == 6
    for sample in data:
        about = json.loads(next((s1 / sample["s1_patch"]).glob("*.json")).read_text())
        assert sample["s2_patch"] == about["corresponding_s2_patch"]
        assert sorted(np.array(CLASSES[43])[sample["label"]]) == sorted(about["labels"])
        assert sample["acquired"].date().isoformat().replace("-", "") in sample["s2_patch"]
        assert str(sample["s1_acquired"]).replace(" ", "T") == about["acquisition_time"]
        where = about["coordinates"]
        assert sample["center_x"] == (where["ulx"] + where["lrx"]) / 2
        assert sample["center_y"] == (where["uly"] + where["lly"]) / 2
        assert f'"{sample["crs"][5:]}"]]' in about["projection"]
        assert f"_{sample['tile']}_" in sample["s1_patch"]
        for source, (_, bands) in config.stacks.items():
            name, root = (sample["s1_patch"], s1) if source == "sar" else (sample["s2_patch"], s2)
            for place, band in enumerate(bands):
                with rasterio.open(root / name / f"{name}_{band}.tif") as file:
                    np.testing.assert_array_equal(sample[source][..., place], file.read(1))


def test_normalized_values_are_of_order_one(folders):
    data = BigEarthNet(*folders, BigEarthNetConfig(resolution=10, resampling="bilinear"))
    sample = data[0]
    for name in data.config.sources:
        assert abs(sample[name].mean()) < 2
        assert 0.1 < sample[name].std() < 2


def test_classes_and_statistics_are_those_of_the_package():
    tree = ast.parse((package() / "constants.py").read_text())
    said = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and node.targets[0].id
        in ("OLD2NEW_LABELS_DICT", "NEW_LABELS_ORIGINAL_ORDER", "BAND_STATS_S1", "BAND_STATS_S2")
    }
    assert dict(MERGED) == said["OLD2NEW_LABELS_DICT"]
    assert list(CLASSES[43]) == list(said["OLD2NEW_LABELS_DICT"])
    assert CLASSES[19] == said["NEW_LABELS_ORIGINAL_ORDER"]
    for ours, theirs in ((BANDS, said["BAND_STATS_S2"]), (SAR_BANDS, said["BAND_STATS_S1"])):
        for band, known in ours.items():
            assert (known.mean, known.std) == (theirs["mean"][band], theirs["std"][band])


def test_example_of_the_page_runs(folders, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    (block,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(folders[0].parent)
    params = np.full((14, 19), 0.1, np.float32)

    def network(params, optical, sar):
        return jnp.concatenate([optical.mean((1, 2)), sar.mean((1, 2))], -1) @ params

    names = {"network": network, "params": params, "evaluate": evaluate, "Columns": Columns}
    exec(compile(block, "data.md", "exec"), names)
    assert set(names["table"].failure.values) == {""}
    assert names["table"].label.values.sum(1).tolist() == [2, 2, 1, 5, 4, 3]

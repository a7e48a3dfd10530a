"""`rfp-jax sen12ms`, the page's example, and missing packages."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rfp_jax.datasets.sen12ms._command import main
from tests.datasets.sen12ms.archives import write_tif


def test_commands_say_where_their_results_are(tmp_path, capsys):
    out, shards = tmp_path / "a", tmp_path / "p"
    assert main(["synthesize", str(out), "--patches", "10", "--size", "16"]) == 0
    printed = capsys.readouterr().out
    assert "synthetic data, not SEN12MS" in printed
    assert str(out) in printed
    assert main(["pack", str(out), str(shards), "--size", "16", "--splits", "val"]) == 0
    assert str(shards / "val") in capsys.readouterr().out
    assert main(["synthesize", str(out), "--patches", "10"]) == 1
    assert "exists already" in capsys.readouterr().err


def test_help_is_there_for_every_command():
    for command in ("synthesize", "pack", "check", "safe"):
        with pytest.raises(SystemExit) as end:
            main([command, "--help"])
        assert end.value.code == 0


def test_importing_the_data_needs_neither_rasterio_nor_grain():
    code = (
        "import sys; sys.modules['rasterio'] = sys.modules['grain'] = None\n"
        "from rfp_jax.datasets.sen12ms import Archive, Patch\n"
        "from rfp_jax.datasets.sen12ms._geotiff import read_s2\n"
        "from pathlib import Path\n"
        "read_s2(Path('a.tif'))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "pip install 'rfp-jax[experiments]'" in found.stderr


def test_example_of_the_page_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "sen12ms.md").read_text()
    monkeypatch.chdir(tmp_path)
    for sensor, count in (("s1", 2), ("s2", 13)):
        name = f"{sensor}_ROIs1868_17_ImgNo_0_2018-01-03_patch_76.tif"
        folder = tmp_path / "sen12mscrts" / "europa" / "ROIs1868" / "17" / sensor.upper() / "0"
        write_tif(folder / name, np.full((count, 256, 256), -10 if count == 2 else 900, "f4"))
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "sen12ms.md", "exec"), names)
    assert names["batch"]["optical"].shape == (4, 64, 64, 10)
    assert names["found"].optical.shape == (256, 256, 10)
    assert names["sample"].keys() == names["batch"].keys()

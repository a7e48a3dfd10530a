"""The command, from a converted network and files to a map."""

import json

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from rfp_jax import maps
from rfp_jax._command import main as rfp_jax_main
from rfp_jax.convert import convert_program
from rfp_jax.maps._command import main, read_classes
from rfp_jax.maps._summary import summarize


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.optical, self.sar = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, optical, sar):
        return self.head(torch.relu(self.optical(optical) + self.sar(sar)))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A segmentation network of PyTorch, converted; it takes scenes of any size."""
    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    module = Segmenter().eval()
    example = torch.ones(1, 2, 32, 32), torch.ones(1, 1, 32, 32)
    size = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    program = torch.export.export(module, example, dynamic_shapes=(size, size))
    torch.export.save(program, folder / "network.pt2")
    convert_program(folder / "network.pt2", folder / "out")
    return module, folder / "out"


@pytest.fixture
def files(geotiff, tmp_path):
    draw = np.random.default_rng(0)
    optical = draw.integers(1, 4000, (3, 60, 50)).astype(np.uint16)
    optical[:, 2, 3] = 0
    sar = draw.normal(size=(1, 60, 50)).astype(np.float32)
    paths = geotiff("S2.tif", optical, nodata=0), geotiff("S1.tif", sar)
    (tmp_path / "classes.txt").write_text("open water #0000ff\nforest #00ff00\nbuilt-up #ff0000\n")
    statistics = {"optical": {"mean": [2000, 2100], "std": [900, 1000]}}
    (tmp_path / "statistics.json").write_text(json.dumps(statistics))
    return optical, sar, paths


def arguments(network, paths, folder, *more):
    return [
        "--network", str(network), "--source", f"optical={paths[0]}", "--source", f"sar={paths[1]}",
        "--bands", "optical=3,1", "--classes", str(folder / "classes.txt"),
        "--statistics", str(folder / "statistics.json"), "--out", str(folder / "map.zarr"), *more,
    ]  # fmt: skip


def test_from_files_to_files(network, files, tmp_path, capsys):
    module, folder = network
    optical, sar, paths = files
    assert main(arguments(folder, paths, tmp_path, "--cog", str(tmp_path / "cog"))) == 0
    shown = capsys.readouterr()
    assert f"map: {tmp_path / 'map.zarr'}" in shown.out
    assert "GeoTIFFs" in shown.out
    assert "1 pixels have no data" in shown.out
    assert "relevance [3, 60, 50] 36,000 bytes" in shown.err
    scene = maps.open(tmp_path / "map.zarr")
    mean, std = np.array([2000, 2100]), np.array([900, 1000])
    seen = (optical[[2, 0]] - mean[:, None, None]) / std[:, None, None]
    seen[:, 2, 3] = 0
    with torch.no_grad():
        inputs = (torch.tensor(x[None], dtype=torch.float32) for x in (seen, sar))
        output = module(*inputs)[0].numpy()
    there, best = scene.prediction.values != 255, output.max(0)
    np.testing.assert_array_equal(scene.prediction.values[there], output.argmax(0)[there])
    np.testing.assert_allclose(scene.output.values[there], best[there], atol=1e-6)
    np.testing.assert_allclose(scene.relevance.sum("source").values[there], best[there], atol=1e-6)
    summary = summarize(scene)
    for i, name in enumerate(("open water", "forest", "built-up")):
        where = scene.prediction.values == i
        assert summary.pixels[i] == where.sum()
        assert summary.area is not None
        assert summary.area[i] == where.sum() * 100
        sizes = abs(scene.relevance.values[:2, where].astype(float)).sum(1)
        if where.any():
            np.testing.assert_allclose(summary.shares[i], sizes / sizes.sum())
        assert f"{name} " in shown.out
    with rasterio.open(tmp_path / "cog" / "prediction.tif") as file:
        assert file.colormap(1)[0] == (0, 0, 255, 255)


def test_inspect(network, files, tmp_path, capsys):
    assert main(arguments(network[1], files[2], tmp_path, "--inspect")) == 0
    assert "optical (reference): 2 x 60 x 50 uint16" in capsys.readouterr().out
    assert not (tmp_path / "map.zarr").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--source", "sar"], "--source is NAME=VALUE"),
        (["--ratio", "dem=2"], "--bands, --ratio or --times of ['dem']"),
        (["--times", "sar=2"], "source 'sar' has 1 bands, which does not fit times=2"),
        (["--resampling", "magic"], "error: source"),
        (["--window", "99", "99"], "60 pixels along an axis, the window 99"),
        (["--region", "0", "0", "1", "1"], "holds no pixel of the reference"),
        (["--bands", "sar=7"], "has no band 7"),
    ],
)
def test_errors_are_one_line(network, files, tmp_path, capsys, more, message):
    if message == "error: source":
        more = ["--source", f"dem={files[2][1]}", *more]
        message = "error: the network does not take"
    assert main(arguments(network[1], files[2], tmp_path, *more)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "map.zarr").exists()


def test_no_network(files, tmp_path, capsys):
    assert main(arguments(tmp_path / "nothing", files[2], tmp_path)) == 1
    assert "is not a folder that" in capsys.readouterr().err


def test_classes(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("open water\nforest\n\n")
    assert read_classes(file) == ["open water", "forest"]
    file.write_text("open water #0000ff\nforest\n")
    with pytest.raises(maps.SceneError, match="each class a color, or none"):
        read_classes(file)
    file.write_text("forest\nforest\n")
    with pytest.raises(maps.SceneError, match="twice"):
        read_classes(file)


def test_it_is_a_command_of_the_package(capsys):
    with pytest.raises(SystemExit):
        rfp_jax_main(["map", "--help"])
    shown = capsys.readouterr().out
    assert "rfp-jax map" in shown
    assert "--source" in shown

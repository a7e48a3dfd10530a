"""Measure the page of a whole Sentinel-2 tile: `python -m benchmarks.page`.

Its size, how long writing takes, and, where a browser of the Chromium family is installed, when it
first paints and when the map stands.

The map is made up: 10,980 x 10,980 pixels, three sources, six classes. All classes have the same
relevance, which numpy holds once, so 5 GB of memory are enough. Cells hardly compress, as cells of
real maps.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401
import xarray as xr

from rfp_jax import maps

CLASSES = ("water", "crops", "forest", "grass", "wetland", "built")
SOURCES = ("optical", "radar", "terrain", "bias")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WATCH = """
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) console.log(each.name, Math.round(each.startTime), "ms");
}).observe({ type: "paint", buffered: true });
(async () => {
  while (!document.body.dataset.ready) await new Promise((done) => setTimeout(done, 5));
  console.log("map-ready", Math.round(performance.now()), "ms");
})();
"""
COLORS = "#4575b4 #fee08b #1b7837 #a6d96a #762a83 #d73027"


def make(side: int) -> xr.Dataset:
    """A map of all classes, side x side pixels."""
    draw = np.random.default_rng(0)
    columns = draw.normal(size=(len(SOURCES), 1, side)).astype(np.float32)
    rows = draw.normal(size=(len(SOURCES), side, 1)).astype(np.float32)
    relevance = columns * rows
    classes = draw.integers(0, len(CLASSES), (-(-side // 10),) * 2, np.uint8)
    words = {
        "flag_values": list(range(len(CLASSES))),
        "flag_meanings": " ".join(CLASSES),
        "flag_colors": COLORS,
    }
    coords = {
        "class": list(CLASSES),
        "source": list(SOURCES),
        "y": 5_300_000 - 10 * (np.arange(side) + 0.5),
        "x": 600_000 + 10 * (np.arange(side) + 0.5),
    }
    scene = xr.Dataset({}, coords, {"complete": 1}).rio.write_crs("EPSG:32633")
    many = len(CLASSES)
    scene["relevance"] = (
        ("class", "source", "y", "x"),
        np.broadcast_to(relevance, (many, *relevance.shape)),
    )
    scene["output"] = ("class", "y", "x"), np.broadcast_to(relevance.sum(0), (many, side, side))
    prediction = classes.repeat(10, 0).repeat(10, 1)[:side, :side]
    scene["prediction"] = ("y", "x"), prediction, words
    return scene


def opened(page: Path, seconds: float = 60.0) -> dict[str, int]:
    """Open a page in a headless browser; return when what happened, in ms. Empty without one.

    Args:
        page: the page.
        seconds: how long to wait for it.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return {}
    digest = base64.b64encode(hashlib.sha256(WATCH.encode()).digest()).decode()
    text = page.read_text().replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    found: dict[str, int] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        watched = Path(folder) / "page.html"
        watched.write_text(text.replace("</body>", f"<script>{WATCH}</script></body>"))
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
        flags += ["--window-size=1400,900", "--remote-debugging-port=0"]
        command = [browser, *flags, f"--user-data-dir={folder}/profile", watched.as_uri()]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        for line in process.stderr:
            for name, when in re.findall(r'"([a-z-]+) (\d+) ms"', line):
                found[name] = int(when)
            if {"first-paint", "map-ready"} <= found.keys():
                break
        timer.cancel()
        process.kill()
        process.wait()
    return found


def main() -> None:
    """Write the page, and print its size and how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_980, help="pixels a side")
    parser.add_argument("--out", type=Path, help="where to keep the page")
    given = parser.parse_args()
    scene = make(given.side)
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 255, (3, given.side, given.side), np.uint8)
    coords = {"y": scene.y, "x": scene.x}
    rgb = xr.DataArray(noise, coords, ("band", "y", "x")).rio.write_crs(scene.rio.crs)
    with tempfile.TemporaryDirectory() as folder:
        path = given.out or Path(folder) / "scene.html"
        start = time.perf_counter()
        maps.report(scene, path, rgb)
        seconds = time.perf_counter() - start
        print(f"{given.side:,} pixels a side: {path.stat().st_size:,} bytes in {seconds:.0f} s")
        for name, when in opened(path).items():
            print(f"{name}: {when:,} ms")


if __name__ == "__main__":
    main()

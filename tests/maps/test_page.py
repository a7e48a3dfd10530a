"""A map as a page: its numbers against the map, its size, its safety, a browser."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from pages import CLASSES, MARKUP, array_of, blocks, data_of, make, parts_of
from rasterio.warp import transform as warp

from rfp_jax import maps
from rfp_jax._util.pages import resource
from rfp_jax.maps import _report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WINDOW = (600200.0, 5199600.0, 600400.0, 5199800.0)
FACTOR = 3
"""Pixels of a cell in the page that is written."""


def picture(scene, bands=3):
    values = np.random.default_rng(1).uniform(0, 0.3, (bands, *scene.output.shape[-2:]))
    coords = {"y": scene.y.values, "x": scene.x.values}
    return xr.DataArray(values, coords, ("band", "y", "x")).rio.write_crs(scene.rio.crs)


@pytest.fixture(scope="module")
def scene():
    return make(sources=("optical", MARKUP), classes=CLASSES)


@pytest.fixture(scope="module")
def written(scene, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "scene.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_report, "PARTS", 28)
        maps.report(scene, path, picture(scene), title=MARKUP, windows={MARKUP: WINDOW})
    return path


def near(found, expected, parts):
    """Equal to a thousandth of what the parts are together, and unknown at the same places."""
    assert (np.isnan(found) == np.isnan(expected)).all()
    known = np.isfinite(expected)
    bound = 1e-3 * np.broadcast_to(parts, expected.shape)[known]
    assert (np.abs(found - expected)[known] <= bound).all()


def test_the_page_holds_the_cells_of_the_map(scene, written):
    whole, window = data_of(written.read_text())["views"]
    assert (whole["cell"], window["cell"]) == (FACTOR, 1)
    expected = blocks(scene.relevance.values, FACTOR)
    near(parts_of(whole), expected, np.abs(expected))
    rows, columns = slice(20, 40), slice(20, 40)
    assert window["bounds"] == list(WINDOW)
    expected = scene.relevance.values[..., rows, columns]
    near(parts_of(window), expected, np.abs(expected))
    np.testing.assert_array_equal(array_of(window["best"]), scene.prediction[rows, columns])


def test_parts_add_up_to_the_output(scene, written):
    whole, _ = data_of(written.read_text())["views"]
    parts = parts_of(whole)
    near(parts.sum(1), blocks(scene.output.values, FACTOR), np.abs(parts).sum(1))


def test_the_map_of_the_predicted_class_and_of_one_output(tmp_path):
    plain = make()
    one = plain.drop_vars("prediction")
    for scene in (plain, one):
        maps.report(scene, tmp_path / "page.html")
        data = data_of((tmp_path / "page.html").read_text())
        (whole,) = data["views"]
        near(parts_of(whole)[0], scene.relevance.values, np.abs(scene.relevance.values))
        assert data["explained"] is None
        assert ("prediction" in data) == ("prediction" in scene)


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_values_of_any_size_fit_in_half_precision(unit, tmp_path):
    scene = make()
    for name in ("relevance", "output"):
        scene[name] = scene[name] * np.float32(unit)
    maps.report(scene, tmp_path / "page.html")
    (whole,) = data_of((tmp_path / "page.html").read_text())["views"]
    near(parts_of(whole)[0], scene.relevance.values.astype(float), np.abs(scene.relevance.values))


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
def test_degrees_between_nodes(crs, tmp_path):
    scene = make(crs=crs)
    maps.report(scene, tmp_path / "page.html")
    data = data_of((tmp_path / "page.html").read_text())
    degrees = array_of(data["degrees"])
    left, bottom, right, top = data["bounds"]
    n = data["nodes"]
    i, j = n // 2, n // 3  # the middle of four nodes
    x = left + (right - left) * (j + 0.5) / (n - 1)
    y = top - (top - bottom) * (i + 0.5) / (n - 1)
    expected = np.ravel(warp(scene.rio.crs, "EPSG:4326", [x], [y]))
    np.testing.assert_allclose(degrees[:, i : i + 2, j : j + 2].mean((1, 2)), expected, atol=1e-7)


def test_sizes_keep_to_the_budget(scene, tmp_path):
    small = 350_000
    path = tmp_path / "page.html"
    sides = []
    for most in (15_000_000, small):
        maps.report(scene, path, picture(scene), max_bytes=most)
        assert path.stat().st_size <= most
        sides.append(data_of(path.read_text())["views"][0]["shape"])
    assert sides[0] == [61, 83]
    large = make(700, 500, classes=CLASSES)
    maps.report(large, path, picture(large), max_bytes=small)
    assert path.stat().st_size <= small
    assert data_of(path.read_text())["views"][0]["cell"] > 2  # 384 cells a side would be 2
    path.unlink()
    with pytest.raises(maps.SceneError, match=r"max_bytes.*give more"):
        maps.report(scene, path, max_bytes=150_000)
    assert not list(tmp_path.iterdir())


class Page(HTMLParser):
    """The elements that a browser would see."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


def test_nothing_is_asked_of_a_network(written):
    text = written.read_text()
    elements = Page(text).elements
    assert not [tag for tag, said in elements if {"src", "href", "action", "data"} & set(said)]
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in elements}
    (policy,) = (said["content"] for _, said in elements if "http-equiv" in said)
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for name in ("leaflet.js", "leaflet.css"):
        vendored = resource("rfp_jax.maps._page", name)
        assert vendored in text
        text = text.replace(vendored, "")
    addresses = re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z0-9./-]+", text)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # a namespace


def test_markup_is_text(written):
    text = written.read_text()
    assert MARKUP not in text
    assert sum(tag == "script" for tag, _ in Page(text).elements) == 3
    assert "&lt;script&gt;" in text
    data = data_of(text)
    assert [each["name"] for each in data["sources"]] == ["optical", MARKUP, "bias"]
    assert data["views"][1]["name"] == MARKUP
    assert data["explained"] == [0, 1, 2]


def test_leaflet_comes_with_its_license(written):
    assert "Volodymyr Agafonkin" in written.read_text()


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({"complete": 0}, {}, ValueError, "not complete: call rfp_jax.maps.relevance again"),
        ({"sources": 8}, {}, ValueError, "8 sources, and 7 colors.*draw fewer sources, or sum"),
        ({}, {"rgb": 2}, maps.SceneError, "rgb has 2 bands.*bands=\\(4, 3, 2\\)"),
        ({}, {"rgb": "far"}, maps.SceneError, "does not overlap"),
        ({}, {"windows": {"w": (0, 0, 1, 1)}}, maps.SceneError, "window 'w' is .*inside"),
        ({}, {"windows": {"w": (1, 2)}}, maps.SceneError, "left, bottom, right, top"),
    ],
)
def test_what_cannot_be_shown_is_refused(change, options, error, message, tmp_path):
    scene = make(sources=[f"s{i}" for i in range(change.get("sources", 2))])
    scene.attrs["complete"] = change.get("complete", 1)
    if options == {"rgb": 2}:
        options = {"rgb": picture(scene, 2)}
    elif options == {"rgb": "far"}:
        options = {"rgb": picture(scene.assign_coords(x=scene.x + 1e5))}
    with pytest.raises(error, match=message):
        maps.report(scene, tmp_path / "page.html", **options)
    assert not list(tmp_path.iterdir())


ACT = """
addEventListener("load", async () => {
  const said = {}, numbers = () => [...document.querySelectorAll("#numbers tbody tr")].map(
    (row) => [...row.children].map((cell) => cell.textContent));
  while (!document.body.dataset.ready) await new Promise((done) => setTimeout(done, 10));
  const element = document.getElementById("map"), box = element.getBoundingClientRect();
  const click = (x, y) => {
    const point = map.latLngToContainerPoint([y, x]);
    const where = { bubbles: true, clientX: box.left + point.x, clientY: box.top + point.y };
    for (const type of ["mousedown", "mouseup", "click"]) {
      element.dispatchEvent(new MouseEvent(type, where));
    }
    return [numbers(), document.getElementById("place").innerText];
  };
  said.coarse = click(600605, 5199495);
  const key = { key: "ArrowRight", shiftKey: true, bubbles: true };
  element.dispatchEvent(new KeyboardEvent("keydown", key));
  said.next = numbers();
  said.fine = click(600225, 5199625);
  const asked = performance.getEntriesByType("resource").map((each) => each.name);
  said.requests = asked.filter((name) => !name.startsWith("data:"));
  said.title = document.title;
  said.overflow = document.documentElement.scrollWidth - innerWidth;
  const pre = document.createElement("pre");
  pre.id = "said";
  pre.textContent = JSON.stringify(said);
  document.body.append(pre);
});
"""


@pytest.mark.parametrize("width", [500, 1400])  # 500 is the least of a window of Chromium
def test_a_click_in_a_browser_shows_the_cell(scene, written, tmp_path, width):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"NOT RUN in a browser: none of {', '.join(BROWSERS)} is installed")
    digest = base64.b64encode(hashlib.sha256(ACT.encode()).digest()).decode()
    text = written.read_text().replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    path = tmp_path / "page.html"
    path.write_text(text.replace("</body>", f"<script>{ACT}</script></body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    flags += [f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [browser, *flags, "--virtual-time-budget=20000", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    shown = Said(done.stdout).said
    said = json.loads(shown)
    assert said["requests"] == []
    assert said["title"] == MARKUP  # and not "taken"
    assert said["overflow"] <= 0
    coarse = blocks(scene.relevance.values, FACTOR)
    pixels = scene.relevance.values
    for rows, expected in (
        (said["coarse"][0], coarse[:, :, 50 // FACTOR, 60 // FACTOR]),
        (said["next"], coarse[:, :, 50 // FACTOR, 60 // FACTOR + 1]),
        (said["fine"][0], pixels[:, :, 37, 22]),
    ):
        assert [row[0] for row in rows] == [*CLASSES]
        found = np.array([[float(v.replace("−", "-")) for v in row[1:]] for row in rows])
        size = np.abs(expected).sum(1)
        near(found[:, :-1], expected, size[:, None])
        near(found[:, -1], expected.sum(1), size)
    words = said["fine"][1]
    longitude, latitude = np.ravel(warp(scene.rio.crs, "EPSG:4326", [600225], [5199625]))
    assert "x 600225.0, y 5199625.0 (EPSG:32633)" in words
    assert f"{latitude:.5f}° N, {longitude:.5f}° E" in words
    assert "one pixel" in words
    assert "mean of 3 × 3 pixels" in said["coarse"][1]


class Said(HTMLParser):
    """The text of the element that the script above has added."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.said, self._open = "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._open = ("id", "said") in attrs

    def handle_endtag(self, tag):
        self._open = False

    def handle_data(self, data):
        self.said += data if self._open else ""

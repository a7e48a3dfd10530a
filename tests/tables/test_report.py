"""The report: its numbers against the table, its safety, its behavior in a real browser."""

import base64
import csv
import functools
import hashlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from rfp_jax import tables
from rfp_jax.tables import _totals
from rfp_jax.tables._report import facts

EVIL = (
    "<script>document.title='taken over'</script>",
    "<img src=x onerror=\"document.title='taken over'\">",
    '"><svg onload="document.title=\'taken over\'">',
    "${page} $script",
    "$x^2$ & sea",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SAMPLES = 60


def make(labels=True, samples=SAMPLES, sources=("optical", EVIL[2])):
    """A table whose names all try to break out; sample 4 has failed."""
    rng = np.random.default_rng(0)
    relevance = rng.normal(1, 1, size=(samples, len(sources) + 1, len(EVIL)))
    relevance[4] = np.nan
    output = relevance.sum(1)
    failed = np.arange(samples) == 4
    text = np.dtypes.StringDType()
    coords = {
        "source": [*sources, "bias"],
        "class": list(EVIL),
        "id": ("sample", [f"{EVIL[i % 5]}{i}" for i in range(samples)]),
        "prediction": ("sample", np.where(failed, -1, np.nan_to_num(output).argmax(1))),
        "cloud_cover": ("sample", rng.uniform(size=samples)),
        "place": ("sample", np.array([EVIL[1]] * samples, text)),
        "failure": ("sample", np.array([EVIL[0] if f else "" for f in failed], text)),
        "finite": ("sample", ~failed),
    }
    if labels:
        coords["label"] = ("sample", rng.integers(0, len(EVIL), samples))
    variables = {
        "relevance": (("sample", "source", "class"), relevance),
        "output": (("sample", "class"), output),
    }
    return xr.Dataset(variables, coords, {"chunk": 16, "complete": True, "rules": EVIL[1]})


class Page(HTMLParser):
    """A page as a browser sees it: the elements with their attributes, and the text of some."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.cells, self.titles, self.count, self._open = [], [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append((tag, dict(attrs)))
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag == "h3":
            self.titles.append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not self._open:
            return
        tag, attributes = self._open[-1]
        if tag in ("td", "th"):
            self.cells[-1][-1] += data
        if tag == "h3":
            self.titles[-1] += data
        if attributes.get("id") == "count":
            self.count += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def picture(index):
    gray = np.full((6, 4), index, np.uint8)
    return {EVIL[1]: gray, "optical": np.stack([gray, gray, 255 - gray], -1)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    options = {"title": EVIL[0], "note": EVIL[1], "pictures": picture, "bins": ["cloud_cover"]}
    with pytest.MonkeyPatch.context() as patch:  # several blocks
        for module in (_totals, facts):
            patch.setattr(module, "blocks", functools.partial(tables.blocks, samples=16))
        tables.report(make(), path, **options)
    return path


def test_class_table_holds_what_numpy_says(written):
    table = make()
    page = Page(written.read_text())
    rows = {row[0]: row for row in page.cells if len(row) == 9}
    good = np.arange(SAMPLES) != 4
    label, prediction = table.label.values, table.prediction.values
    shares = tables.share(table).values
    for k, name in enumerate(EVIL):
        chosen = good & (label == k)
        expected = [name, str(chosen.sum()), f"{(prediction == k)[chosen].mean():.3f}"]
        expected += [f"{share:.3f}" for share in shares[chosen].mean(0)]
        expected += [
            "",
            *(f"{np.median(table.relevance.values[chosen, s, k]):.3g}" for s in range(3)),
        ]
        assert rows[name] == expected
    assert rows["all"][1:3] == ["59", f"{(label == prediction)[good].mean():.3f}"]
    assert rows["all"][3:5] == [f"{share:.3f}" for share in shares[good].mean(0)]
    assert rows["class"][3:5] == ["optical, mean share", f"{EVIL[2]}, mean share"]
    assert rows["class"][6:9] == ["optical, median", f"{EVIL[2]}, median", "bias, median"]


def test_confusion_matrix_counts_what_numpy_counts(written):
    table = make()
    good = np.arange(SAMPLES) != 4
    label, prediction = table.label.values[good], table.prediction.values[good]
    rows = [row for row in Page(written.read_text()).cells if len(row) == 6]
    assert rows[0] == ["true \\ predicted", *EVIL]
    for k, row in enumerate(rows[1:]):
        expected = [int(((label == k) & (prediction == p)).sum()) for p in range(len(EVIL))]
        assert row == [EVIL[k], *map(str, expected)]


def test_the_csv_holds_what_the_page_shows(written):
    table = make()
    page = Page(written.read_text())
    link = next(a for a in page.all("a") if a.get("download") == "samples.csv")
    text = base64.b64decode(link["href"].removeprefix("data:text/csv;base64,")).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == SAMPLES - 1
    places = {str(name): i for i, name in enumerate(table.id.values)}
    shares = tables.share(table).values
    for row in rows:
        i = places[row["id"]]
        k = int(table.label[i])
        assert (row["class"], row["predicted"]) == (EVIL[k], EVIL[int(table.prediction[i])])
        assert float(row["output"]) == float(table.output[i, k])
        assert float(row["relevance of bias"]) == float(table.relevance[i, 2, k])
        assert float(row["share of optical"]) == shares[i, 0]
        assert float(row["cloud_cover"]) == float(table.cloud_cover[i])
    formula = make(samples=9).assign_coords(id=("sample", [f"=1+{i}" for i in range(9)]))
    tables.report(formula, written.parent / "formula.html")
    link = next(
        a for a in Page((written.parent / "formula.html").read_text()).all("a") if "download" in a
    )
    encoded = link["href"].removeprefix("data:text/csv;base64,")
    assert "\n'=1+0," in base64.b64decode(encoded).decode().replace("\r", "")


def test_page_has_styles_for_dark_print_and_narrow_screens(written):
    text = written.read_text()
    for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 520px"):
        assert rule in text
    assert "showModal" in text


def test_rounding_errors_are_zero_and_metadata_are_whole(tmp_path):
    table = make(samples=9).drop_vars("cloud_cover")
    relevance = table.relevance.values.astype(np.float32)
    relevance[:, 2] = -4.47e-08
    relevance[2, 2] = 1e-3
    table["relevance"] = (table.relevance.dims, relevance)
    table = table.assign_coords(
        easting=("sample", [600480.0 + i / 8 for i in range(9)]),
        tiny=("sample", np.full(9, 1.25e-12)),
        day=("sample", np.datetime64("2017-03-01T10:30", "us") + np.arange(9).astype("m8[us]")),
        patch=("sample", 10**15 + np.arange(9)),
    )
    tables.report(table, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "-4.47e-08" not in text
    assert "<span>0.001</span>" in text
    assert text.count("<span>0</span>") >= 8
    assert "easting 600480, " in text
    assert "easting 600480.125, " in text
    assert "tiny 1.25e-12" in text
    assert "day 2017-03-01T10:30, " in text
    assert "day 2017-03-01T10:30:00.000001, " in text
    assert "patch 1000000000000008" in text
    share = tables.share(table).values[0]
    assert f"optical {share[0]:.2f}, " in text


def test_reports_of_several_labels_and_of_regression(tmp_path):
    table = make(samples=20)
    several = table.drop_vars(["label", "prediction"]).assign_coords(
        label=(("sample", "class"), table.output.values > 1),
        prediction=(("sample", "class"), table.output.values >= 0),
    )
    tables.report(several, tmp_path / "several.html")
    f1 = tables.summary(several)["scores"]["micro"]["f1"]
    assert f"<b>{f1:.4f}</b><span>f1, micro</span>" in (tmp_path / "several.html").read_text()
    heights = table.isel({"class": [1]}).drop_vars(["label", "prediction"])
    heights = heights.assign_coords(label=(("sample", "class"), heights.output.values + 0.5))
    tables.report(heights, tmp_path / "heights.html")
    assert "<b>0.5</b><span>RMSE, " in (tmp_path / "heights.html").read_text()


def test_nothing_from_the_data_becomes_markup(written):
    text = written.read_text()
    page = Page(text)
    assert len(page.all("script")) == 1
    assert not page.all("svg")
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    handlers = [name for _, attributes in page.elements for name in attributes if name[:2] == "on"]
    assert not handlers
    assert EVIL[0] in [cell for row in page.cells for cell in row]  # the reason of the failure
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline'; script" in policy  # styles only
    assert set(page.titles) == {f"{EVIL[i % 5]}{i}" for i in range(SAMPLES) if i != 4}


def test_nothing_is_fetched(written):
    text = re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", written.read_text())
    assert not re.search(
        r"(?i)\b(https?|ftp|wss?):|@import|url\(|<link|<iframe|fetch\(|XMLHttp", text
    )


def test_pictures_are_the_samples(written):
    from io import BytesIO

    from PIL import Image

    page = Page(written.read_text())
    pictures = [a for a in page.all("img") if a["alt"] == "optical"]
    orders = [int(a["data-order"]) for a in page.all("article")]
    assert len(pictures) == len(orders) == SAMPLES - 1
    for order, image in zip(orders, pictures, strict=True):
        encoded = image["src"].removeprefix("data:image/png;base64,")
        found = np.asarray(Image.open(BytesIO(base64.b64decode(encoded))))
        np.testing.assert_array_equal(found, picture(order)["optical"])


def browse(path, fragment, *options):
    """Open a page in a headless browser; returns its document after the scripts have run."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"NOT RUN in a browser: none of {', '.join(BROWSERS)} is installed")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    command = [browser, *flags, f"--user-data-dir={path.parent / 'profile'}", *options]
    done = subprocess.run(
        [*command, f"{path.as_uri()}#{fragment}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("fragment", "key", "down"),
    [
        ("", "order", False),
        ("sort=share1&down=1", "share1", True),
        ("sort=meta0", "meta0", False),
        ("sort=class&correct=0", "class", False),
        ("sort=correct&down=1&class=2", "correct", True),
        ("find=SEA1", "order", False),
    ],
)
def test_gallery_sorts_and_filters_in_a_browser(written, fragment, key, down):
    page = Page(browse(written, fragment, "--dump-dom"))
    table = make()
    label, correct = table.label.values, (table.label == table.prediction).values.astype(int)
    values = {
        "order": np.arange(SAMPLES),
        "share1": tables.share(table).values[:, 1],
        "meta0": table.cloud_cover.values,
        "class": label,
        "correct": correct,
    }[key]
    visible = [int(a["data-order"]) for a in page.all("article") if "hidden" not in a]
    expected = [i for i in range(SAMPLES) if i != 4]
    if "correct=0" in fragment:
        expected = [i for i in expected if not correct[i]]
    if "class=2" in fragment:
        expected = [i for i in expected if label[i] == 2]
    if "find" in fragment:
        expected = [i for i in expected if "sea1" in table.id.values[i].lower()]
    assert expected
    expected.sort(key=lambda i: (-values[i] if down else values[i], i))
    assert visible == expected
    assert page.count == f"{len(expected)} of 59"


def test_names_do_nothing_in_a_browser_and_all_pictures_show(written, tmp_path):
    page = browse(written, "", "--dump-dom", "--virtual-time-budget=2000")
    assert "<title>&lt;script&gt;document.title=" in page
    shot = tmp_path / "shot.png"
    browse(written, "", "--window-size=1200,2400", f"--screenshot={shot}")
    from PIL import Image

    colors = Image.open(shot).convert("RGB").getcolors(1 << 24)
    assert len(colors) > 50  # a page that shows nothing has one


ACT = """
addEventListener("load", () => {
  const said = {}, zoom = document.getElementById("zoom");
  const picture = document.querySelectorAll(".pictures img")[1];
  said.atFirst = zoom.open;
  picture.click();
  const large = zoom.querySelector("img");
  said.shown = zoom.open && large.src === picture.src;
  said.larger = large.getBoundingClientRect().width / picture.getBoundingClientRect().width;
  large.click();
  said.inTheEnd = zoom.open;
  said.overflow = document.documentElement.scrollWidth - innerWidth;
  said.width = innerWidth;
  parent.postMessage(JSON.stringify(said), "*");
});
"""
FRAME = """
<iframe src="page.html" style="width:{width}px;height:900px"></iframe><h3></h3>
<script>onmessage = (e) => document.querySelector("h3").textContent = e.data</script>
"""
"""Chromium has no window narrower than 500 pixels, but a frame may be."""


@pytest.mark.parametrize("width", [390, 1400])
def test_a_click_enlarges_a_picture_and_nothing_is_wider_than_the_screen(written, tmp_path, width):
    digest = base64.b64encode(hashlib.sha256(ACT.encode()).digest()).decode()
    text = written.read_text().replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    (tmp_path / "page.html").write_text(text.replace("</body>", f"<script>{ACT}</script></body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width))
    options = ("--dump-dom", "--virtual-time-budget=5000", "--window-size=1600,1000")
    (said,) = Page(browse(frame, "", *options)).titles
    said = json.loads(said)
    assert (said["atFirst"], said["shown"], said["inTheEnd"]) == (False, True, False)
    assert said["larger"] > 2
    assert said["overflow"] <= 0
    assert said["width"] == width


def test_without_labels_pictures_and_metadata(tmp_path):
    table = make(labels=False).drop_vars(["cloud_cover", "place"])
    tables.report(table, tmp_path / "r.html", samples=7)
    page = Page((tmp_path / "r.html").read_text())
    assert len(page.all("article")) == 7
    assert [row[0] for row in page.cells if len(row) == 8][1:] == [*EVIL, "all"]
    assert not [a for a in page.all("img") if a["src"].startswith("data:image/png")]


def test_many_sources_have_colors_of_their_own(tmp_path):
    names = tuple(f"B{i}" for i in range(12))
    tables.report(make(sources=names), tmp_path / "r.html", samples=2)
    page = Page((tmp_path / "r.html").read_text())
    colors = {a["style"] for a in page.all("i") if a["style"].startswith("background:#")}
    assert len({style[11:18] for style in colors}) == 13


def test_the_same_table_gives_the_same_file(tmp_path):
    for name in "ab":
        tables.report(make(), tmp_path / name, samples=5, bins=["cloud_cover"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bins": ["cloud"]}, "no numeric metadata called 'cloud'"),
        ({"bins": ["place"]}, "no numeric metadata called 'place'"),
        ({"pictures": lambda i: {"x": np.zeros((2, 2))}}, r"must be uint8.*got float64\[2, 2\]"),
        ({"table": make().isel(sample=[4])}, "no sample of the table could be evaluated"),
    ],
)
def test_bad_arguments_leave_no_file(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        tables.report(change.pop("table", make()), tmp_path / "r.html", **change)
    assert not list(tmp_path.iterdir())


def test_thumbnails_are_small_and_stretched():
    rng = np.random.default_rng(0)
    data = [{"optical": rng.normal(3000, 500, size=(256, 200, 13)).astype(np.float32)}]
    found = tables.thumbnails(data, {"optical": (3, 2, 1)}, size=64)(0)["optical"]
    assert found.shape == (64, 50, 3)
    assert found.dtype == np.uint8
    assert found.min() == 0
    assert found.max() == 255
    order = np.argsort(data[0]["optical"][::4, ::4, 3].ravel(), kind="stable")
    assert (np.diff(found[..., 0].ravel()[order].astype(int)) >= 0).all()

"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const VOID = 255, SPEAKING = data.sources.length - 1; // the last source is the bias

// Data: base64 of gzip of little-endian arrays.

const HALF = new Float32Array(65536).map((_, h) => {
  const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
});
const READ = {
  uint8: (buffer) => new Uint8Array(buffer),
  float64: (buffer) => new Float64Array(buffer),
  float16: (buffer) => Float32Array.from(new Uint16Array(buffer), (h) => HALF[h]),
};

async function unpack(packed) {
  const text = atob(packed.bytes), raw = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) raw[i] = text.charCodeAt(i);
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
  return READ[packed.dtype](await new Response(stream).arrayBuffer());
}

// The map: coordinates of the scene are those of the map.

const simple = L.extend({}, L.CRS.Simple, { transformation: new L.Transformation(data.aspect, 0, -1, 0) });
const map = L.map("map", { crs: simple, attributionControl: false, minZoom: -30, maxZoom: 30, zoomSnap: 0, wheelPxPerZoomLevel: 120 });
const corners = ([left, bottom, right, top]) => L.latLngBounds([bottom, left], [top, right]);
map.fitBounds(corners(data.bounds), { padding: [12, 12] });
map.setMinZoom(map.getZoom() - 2);
map.setMaxZoom(map.getZoom() + 12);

const Bar = L.Control.extend({
  onAdd() {
    const element = L.DomUtil.create("div", "scalebar"), bar = document.createElement("span"), text = document.createTextNode("");
    element.append(text, bar);
    const update = () => {
      const perPixel = data.meters / (2 ** map.getZoom() * data.aspect), most = 120 * perPixel;
      const ten = 10 ** Math.floor(Math.log10(most));
      const nice = [5, 2, 1].find((n) => n * ten <= most) * ten;
      text.data = nice >= 1000 ? `${nice / 1000} km` : `${nice} m`;
      bar.style.width = `${nice / perPixel}px`;
    };
    map.on("zoomend", update);
    update();
    return element;
  },
});
new Bar({ position: "bottomleft" }).addTo(map);

// Relevance of cells.

const part = (view, c, s, i) => view.parts[(c * data.sources.length + s) * view.count + i] / view.scale;
const explained = data.explained; // numbers of classes, or null for the predicted one

function place(view, i) {
  const wanted = at("class").value;
  if (wanted !== "predicted") return Number(wanted);
  return explained === null ? 0 : explained.indexOf(view.best[i]);
}

function shares(view, c, i) {
  const sizes = Array.from({ length: SPEAKING }, (_, s) => Math.abs(part(view, c, s, i)));
  const total = sizes.reduce((a, b) => a + b, 0);
  return sizes.map((size) => (total > 0 ? size / total : 1 / SPEAKING) + 0 * total);
}

// Colors.

const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
const mix = (color, t) => color.map((v) => Math.round(255 + (v - 255) * t));
const SOURCES = data.sources.map((source) => rgb(source.color));
const clear = (share) => (SPEAKING > 1 ? (share - 1 / SPEAKING) / (1 - 1 / SPEAKING) : 1);
const dominance = (s, share) => mix(SOURCES[s], data.faintest + (1 - data.faintest) * clear(share));
function diverging(value, limit) {
  const t = Math.min(Math.max(value / limit, -1), 1);
  return data.diverging[Math.round(((t + 1) / 2) * (data.diverging.length - 1))];
}
const limit = () => (at("class").value === "predicted" ? Math.max(...data.limits) : data.limits[Number(at("class").value)]);

function color(view, i, what, top) {
  const c = place(view, i);
  if (c < 0 || Number.isNaN(part(view, c, 0, i))) return null;
  const [kind, index] = what.split(":"), s = Number(index);
  if (kind === "relevance") return diverging(part(view, c, s, i), top);
  const found = shares(view, c, i);
  if (kind === "share") return mix(SOURCES[s], found[s]);
  const first = found.indexOf(Math.max(...found));
  return dominance(first, found[first]);
}

// Sheets: what lies on the map, from below.

const sheets = [];
map.createPane("ground").style.zIndex = 205;
function canvas(rows, columns) {
  const made = document.createElement("canvas");
  made.width = columns;
  made.height = rows;
  return made;
}
function fill(made, of) { // of(i): [red, green, blue], or null for nothing
  const context = made.getContext("2d"), image = context.createImageData(made.width, made.height);
  for (let i = 0; i < made.width * made.height; i++) {
    const found = of(i);
    if (found) image.data.set([...found, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}
function sheet(name, overlays, shown) { // overlays(options): layers of one pane, whose opacity is theirs
  const pane = map.createPane(`sheet${sheets.length}`), row = document.createElement("div");
  pane.style.zIndex = 210 + sheets.length;
  overlays({ pane: `sheet${sheets.length}` }).forEach((each) => each.addTo(map));
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: shown });
  const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100, value: 100 });
  const label = document.createElement("label");
  row.className = "sheet";
  label.append(box, " ", name);
  slider.setAttribute("aria-label", `opacity of ${name}`);
  const update = () => { pane.style.opacity = box.checked ? slider.value / 100 : 0; };
  box.onchange = slider.oninput = update;
  row.append(label, slider);
  at("sheets").append(row);
  sheets.push(pane);
  update();
}
const onMap = (element, bounds, options) => L.svgOverlay(element, corners(bounds), options); // takes any element

function hatched(options) {
  const element = document.createElement("div");
  element.className = "hatch";
  return onMap(element, data.bounds, options);
}

// The cell that was chosen.

let views = [], chosen = null;
const frame = L.rectangle(corners(data.bounds), { color: "#000", weight: 2, fill: false, interactive: false });
const number = (value) => (Number.isFinite(value) ? value.toPrecision(5).replace("-", "−") : "no data");

function find(x, y) {
  for (const view of [...views].reverse()) { // windows before the scene
    const [left, bottom, right, top] = view.bounds;
    const column = Math.floor(((x - left) / (right - left)) * view.columns);
    const row = Math.floor(((top - y) / (top - bottom)) * view.rows);
    if (row >= 0 && column >= 0 && row < view.rows && column < view.columns) return { view, row, column };
  }
  return null;
}

function degrees(x, y) {
  const n = data.nodes, [left, bottom, right, top] = data.bounds;
  const u = ((x - left) / (right - left)) * (n - 1), v = ((top - y) / (top - bottom)) * (n - 1);
  const j = Math.min(Math.max(Math.floor(u), 0), n - 2), i = Math.min(Math.max(Math.floor(v), 0), n - 2);
  const [a, b] = [u - j, v - i];
  return [0, 1].map((k) => {
    const node = (di, dj) => data.degrees[k * n * n + (i + di) * n + j + dj];
    return (1 - b) * ((1 - a) * node(0, 0) + a * node(0, 1)) + b * ((1 - a) * node(1, 0) + a * node(1, 1));
  });
}

function choose(found) {
  if (!found) return;
  chosen = found;
  const { view, row, column } = found, i = row * view.columns + column;
  const [left, bottom, right, top] = view.bounds;
  const wide = (right - left) / view.columns, high = (top - bottom) / view.rows;
  const x = left + (column + 0.5) * wide, y = top - (row + 0.5) * high;
  frame.setBounds(corners([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2])).addTo(map);
  const [longitude, latitude] = degrees(x, y), digits = data.meters > 10 ? 6 : 1;
  const best = view.best ? view.best[i] : VOID;
  const purity = view.purity ? ` (${Math.round((view.purity[i] / 255) * 100)} % of its pixels)` : "";
  const words = [
    `x ${x.toFixed(digits)}, y ${y.toFixed(digits)} (${data.crs})`,
    `${Math.abs(latitude).toFixed(5)}° ${latitude < 0 ? "S" : "N"}, ${Math.abs(longitude).toFixed(5)}° ${longitude < 0 ? "W" : "E"}`,
    view.cell === 1 ? "one pixel" : `mean of ${view.cell} × ${view.cell} pixels`,
  ];
  if (best !== VOID) words.push(`predicted: ${data.classes[best].name}${view.cell > 1 ? purity : ""}`);
  at("place").replaceChildren(...words.flatMap((word) => [word, document.createElement("br")]));
  const rows = (explained === null ? [best] : explained).map((number, c) => ({
    name: explained === null && best === VOID ? "output" : data.classes[number]?.name ?? "output",
    best: number === best,
    parts: data.sources.map((_, s) => part(view, c, s, i)),
  }));
  rows.forEach((each) => { each.sum = each.parts.reduce((a, b) => a + b, 0); });
  draw(rows);
  history.replaceState(null, "", `#${x},${y}`);
}

function draw(rows) {
  const table = at("numbers"), bars = at("bars"), sum = (parts, sign) => parts.reduce((a, p) => a + (p * sign > 0 ? p : 0), 0);
  const low = Math.min(0, ...rows.map((row) => sum(row.parts, -1))), high = Math.max(0, ...rows.map((row) => sum(row.parts, 1)));
  const span = high - low || 1, to = (v) => ((v - low) / span) * 100;
  table.replaceChildren();
  bars.replaceChildren();
  const head = table.createTHead().insertRow(), body = table.createTBody();
  for (const text of ["class", ...data.sources.map((s) => s.name), "output"]) {
    head.append(Object.assign(document.createElement("th"), { textContent: text }));
  }
  for (const row of rows) {
    const line = body.insertRow(), bar = bars.insertRow();
    if (row.best) bar.className = "best";
    for (const each of [line, bar]) each.append(Object.assign(document.createElement("th"), { textContent: row.name }));
    for (const value of [...row.parts, row.sum]) line.insertCell().textContent = number(value);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 100 16");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", data.sources.map((s, k) => `${s.name} ${number(row.parts[k])}`).join(", "));
    const block = (x, width, y, height, fill) => {
      const rect = document.createElementNS(svg.namespaceURI, "rect");
      for (const [key, value] of Object.entries({ x, width, y, height, fill })) rect.setAttribute(key, value);
      svg.append(rect);
    };
    let [above, below] = [0, 0];
    if (Number.isFinite(row.sum)) {
      for (const s of [SPEAKING, ...Array(SPEAKING).keys()]) { // bias next to 0, as in sample sheets
        const value = row.parts[s];
        block(to(value > 0 ? above : below + value), (Math.abs(value) / span) * 100, 2, 12, data.sources[s].color);
        if (value > 0) above += value; else below += value;
      }
      block(to(0) - 0.25, 0.5, 0, 16, "currentColor");
      block(to(row.sum) - 0.9, 1.8, 4, 8, "#fff");
      block(to(row.sum) - 0.6, 1.2, 5, 6, "#000");
    }
    const cell = bar.insertCell();
    cell.style.width = "60%";
    cell.append(svg);
    bar.insertCell().textContent = number(row.sum);
  }
  at("key").replaceChildren(...[...data.sources, { name: "output", color: "#000" }].map(swatch));
}

// Legend and controls.

function swatch({ name, color }) {
  const element = document.createElement("span"), square = document.createElement("i");
  square.style.background = color;
  element.append(square, name);
  return element;
}
const css = (color) => `rgb(${color.join(" ")})`;
function ramp(name, colors, ends) {
  const row = document.createElement("div"), text = document.createElement("span"), right = document.createElement("div");
  const bar = document.createElement("div"), below = document.createElement("div");
  row.className = "ramp";
  bar.className = "bar";
  below.className = "ends";
  text.textContent = name;
  bar.style.background = `linear-gradient(to right, ${colors.map(css).join(", ")})`;
  for (const end of ends) below.append(Object.assign(document.createElement("span"), { textContent: end }));
  right.append(bar, below);
  row.append(text, right);
  return row;
}
function legend() {
  const [kind, index] = at("what").value.split(":"), s = Number(index), top = limit();
  const steps = [0, 0.25, 0.5, 0.75, 1], percent = (v) => `${Math.round(v * 100)}\u00a0%`;
  const rows = kind === "relevance"
    ? [ramp(data.sources[s].name, data.diverging, [`${number(-top)} against`, "0", `for ${number(top)}`])]
    : kind === "share"
      ? [ramp(data.sources[s].name, steps.map((t) => mix(SOURCES[s], t)), ["0\u00a0%", "share", "100\u00a0%"])]
      : data.sources.slice(0, SPEAKING).map((source, k) =>
        ramp(source.name, steps.map((t) => dominance(k, 1 / SPEAKING + t * (1 - 1 / SPEAKING))), k < SPEAKING - 1 ? [] : [percent(1 / SPEAKING), "share of the dominating source", "100\u00a0%"]));
  const key = document.createElement("div");
  key.className = "key";
  key.append(...data.classes.map(swatch));
  const hatched = swatch({ name: "no data", color: "" });
  hatched.firstChild.className = "hatch";
  key.append(hatched);
  at("legend").replaceChildren(...rows, key);
}
function paint() {
  const what = at("what").value, top = limit();
  for (const view of views) fill(view.canvas, (i) => color(view, i, what, top));
  legend();
}
const option = (value, text) => new Option(text, value);
at("what").append(option("lead", "the dominating source"));
data.sources.slice(0, SPEAKING).forEach((source, s) => at("what").append(option(`share:${s}`, `share of ${source.name}`)));
data.sources.forEach((source, s) => at("what").append(option(`relevance:${s}`, `relevance of ${source.name}`)));
if (data.classes.length > 1) at("class").append(option("predicted", "the predicted class"));
(explained ?? (data.classes.length > 1 ? [] : [0])).forEach((k, c) => at("class").append(option(String(c), data.classes[k]?.name ?? "the output")));
at("what").onchange = at("class").onchange = paint;

// Begin.

async function load(view) {
  const [parts, best, purity] = await Promise.all([view.parts, view.best, view.purity].map((each) => each && unpack(each)));
  const [rows, columns] = view.shape;
  return { ...view, rows, columns, count: rows * columns, parts, best, purity, canvas: canvas(rows, columns) };
}

async function begin() {
  hatched({ pane: "ground" }).addTo(map);
  const hash = location.hash; // a chosen cell writes it anew
  if (data.picture) sheet("image", (options) => [L.imageOverlay(data.picture, corners(data.pictureBounds), options)], true);
  views = await Promise.all(data.views.map(load));
  data.degrees = await unpack(data.degrees);
  if (data.prediction) {
    const best = await unpack(data.prediction), made = canvas(...data.prediction.shape);
    const colors = data.classes.map((each) => rgb(each.color));
    fill(made, (i) => (best[i] === VOID ? null : colors[best[i]]));
    sheet("predicted class", (options) => [onMap(made, data.pictureBounds, options)], false);
  }
  sheet("sources", (options) => [
    hatched(options), ...views.map((view, k) => onMap(view.canvas, view.bounds, { ...options, zIndex: k + 2 })),
  ], true);
  paint();
  for (const view of views.slice(1)) {
    const button = Object.assign(document.createElement("button"), { textContent: view.name });
    button.onclick = () => map.fitBounds(corners(view.bounds));
    at("windows").append(button);
  }
  map.on("click", ({ latlng }) => choose(find(latlng.lng, latlng.lat)));
  const [x, y] = hash.slice(1).split(",").map(Number);
  if (hash && Number.isFinite(x) && Number.isFinite(y)) choose(find(x, y));
  document.body.dataset.ready = "1";
}

let seen = null; // paper has another shape: it shows what the screen shows
for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) {
  window.addEventListener(event, () => {
    if (printing) seen = map.getBounds();
    at("map").classList.toggle("printing", printing);
    map.invalidateSize(false);
    map.fitBounds(seen, { animate: false });
  });
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
at("map").addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (event.key === "Enter" && event.target === at("map")) {
    const { lat, lng } = map.getCenter();
    choose(find(lng, lat));
  } else if (event.shiftKey && step && chosen) {
    const { view } = chosen, row = chosen.row + step[0], column = chosen.column + step[1];
    if (row >= 0 && column >= 0 && row < view.rows && column < view.columns) choose({ view, row, column });
    event.preventDefault();
    event.stopPropagation(); // else the map moves too
  }
});

begin();

"use strict";
// Sorts and filters the gallery. The state is kept in the address (#sort=share0&down=1&class=3), so
// that a view can be bookmarked and sent to someone.
(function () {
  const byId = (id) => document.getElementById(id);
  const gallery = byId("gallery");
  const samples = Array.from(gallery.children);
  const fields = ["sort", "class", "correct", "find"];
  let down = false;

  // A value that is missing comes last in both directions; equal ones stay in the table's order.
  function compare(a, b, key) {
    const x = parseFloat(a.dataset[key]), y = parseFloat(b.dataset[key]);
    const missing = Number.isNaN(x) - Number.isNaN(y);
    return missing || (down ? y - x : x - y) || a.dataset.order - b.dataset.order;
  }

  function show() {
    const [key, chosen, correct, text] = fields.map((id) => byId(id).value);
    let shown = 0;
    for (const sample of samples) {
      const name = sample.querySelector("h3").textContent.toLowerCase();
      sample.hidden = (chosen !== "" && sample.dataset.class !== chosen)
        || (correct !== "" && sample.dataset.correct !== correct)
        || !name.includes(text.toLowerCase());
      shown += sample.hidden ? 0 : 1;
    }
    gallery.append(...samples.slice().sort((a, b) => compare(a, b, key)));
    byId("turn").textContent = down ? "descending" : "ascending";
    byId("count").textContent = shown + " of " + samples.length;
  }

  function remember() {
    const state = new URLSearchParams({ down: down ? "1" : "0" });
    for (const id of fields) if (byId(id).value !== "") state.set(id, byId(id).value);
    history.replaceState(null, "", "#" + state);
    show();
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const id of fields) if (state.has(id)) byId(id).value = state.get(id);
    down = state.get("down") === "1";
    show();
  }

  // A click on a picture shows it large; a click, or Escape, closes it.
  const zoom = byId("zoom");
  gallery.addEventListener("click", (event) => {
    if (!event.target.matches(".pictures img")) return;
    zoom.replaceChildren(event.target.cloneNode());
    zoom.showModal();
  });
  zoom.addEventListener("click", () => zoom.close());

  byId("turn").addEventListener("click", () => { down = !down; remember(); });
  for (const id of ["sort", "class", "correct"]) byId(id).addEventListener("change", remember);
  byId("find").addEventListener("input", remember);
  window.addEventListener("hashchange", recall);
  recall();
})();

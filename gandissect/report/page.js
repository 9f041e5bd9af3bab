"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const layers = [...document.querySelectorAll(".layer")].map((section) => ({
    section,
    body: section.querySelector(".body"),
    heads: [...section.querySelectorAll("[role=columnheader]")],
    links: [...document.querySelectorAll(`.toolbar nav a[href="#${section.id}"]`)],
    cards: [...section.querySelectorAll(".unit")].map((node) => ({
      node,
      concept: node.dataset.concept,
      unit: Number(node.dataset.unit),
      iou: Number(node.dataset.iou),
      threshold: Number(node.dataset.threshold),
      area: Number(node.dataset.area),
      match: !node.classList.contains("below"),
      words: (section.dataset.layer + " " + node.dataset.concept).toLowerCase(),
    })),
  }));
  const total = layers.reduce((sum, layer) => sum + layer.cards.length, 0);
  let onlyMatches = false;

  // A number matches only that unit; any other word must occur in the name of the concept or layer.
  const fits = (card, words, concept) =>
    (!onlyMatches || card.match) &&
    (!concept || (card.match && card.concept === concept)) &&
    words.every((word) => (/^\d+$/.test(word) ? card.unit === Number(word) : card.words.includes(word)));

  function filter() {
    const words = byId("text").value.toLowerCase().replace(/\bunit\b/g, " ").split(/\s+/).filter(Boolean);
    const concept = byId("concept").value;
    let shown = 0;
    for (const layer of layers) {
      let here = 0;
      for (const card of layer.cards) {
        const visible = fits(card, words, concept);
        card.node.hidden = !visible;
        here += visible;
      }
      for (const node of [layer.section, ...layer.links]) node.hidden = here === 0;
      shown += here;
    }
    byId("none").hidden = shown > 0;
    byId("shown").textContent = shown === total ? `${total} units` : `${shown} of ${total} units`;
    byId("show-all").setAttribute("aria-pressed", String(!onlyMatches));
    byId("show-matches").setAttribute("aria-pressed", String(onlyMatches));
  }

  function sort(layer, head) {
    const key = head.firstElementChild.dataset.key;
    const rising = key === "unit" || key === "concept";
    const now = head.getAttribute("aria-sort");
    const up = now ? now === "descending" : rising;
    for (const other of layer.heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const sign = up ? 1 : -1;
    const compare = key === "concept"
      ? (a, b) => (a.concept === "") - (b.concept === "") || sign * a.concept.localeCompare(b.concept) || b.iou - a.iou
      : (a, b) => sign * (a[key] - b[key]) || a.unit - b.unit;
    layer.cards.sort(compare);
    layer.body.append(...layer.cards.map((card) => card.node));
  }

  for (const layer of layers) {
    for (const head of layer.heads) head.firstElementChild?.addEventListener("click", () => sort(layer, head));
    for (const pick of layer.section.querySelectorAll(".pick")) {
      pick.addEventListener("click", () => {
        byId("concept").value = byId("concept").value === pick.dataset.concept ? "" : pick.dataset.concept;
        filter();
      });
    }
  }
  const show = (matches) => () => { onlyMatches = matches; filter(); };
  byId("show-all").addEventListener("click", show(false));
  byId("show-matches").addEventListener("click", show(true));
  byId("text").addEventListener("input", () => {
    filter();
    const hit = byId("text").value.trim() && layers.flatMap((layer) => layer.cards).find((card) => !card.node.hidden);
    if (hit) hit.node.scrollIntoView({ block: "start" });
  });
  byId("concept").addEventListener("change", filter);
  // A link to a unit or layer that the filter hides must still lead to it.
  window.addEventListener("hashchange", () => {
    const target = byId(decodeURIComponent(location.hash.slice(1)));
    if (target?.hidden) {
      byId("text").value = byId("concept").value = "";
      onlyMatches = false;
      filter();
      target.scrollIntoView();
    }
  });
  document.documentElement.classList.add("js");
  document.querySelector(".toolbar").hidden = false;
  filter();
})();

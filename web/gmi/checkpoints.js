/** The "Checkpoints" view: builds specifications, and lists every checkpoint with its state. */
import { buildPanel } from "./build_panel.js";
import { checkpointRow, removal } from "./checkpoint_row.js";
import { breakable, button, choice, fill, h, icon, notice, setText } from "./dom.js";
import { buildable, bytes } from "./format.js";
import { harvestPanel } from "./harvest.js";
import { packsPanel } from "./packs.js";
import { reload, state, subscribe } from "./store.js";
import { t, tn } from "./strings.js";

const SHOWN = {
  all: () => true,
  missing: (row) => row.state === "none" || row.state === "outdated",
  ready: (row) => ["imported", "harvested", "quick", "ready"].includes(row.state),
  problems: (row) => ["suspect", "failed", "unsupported"].includes(row.state),
};

function groupCards(groups) {
  return groups.map(({ titles, bytes: size }) =>
    h(
      "li",
      { class: "gmi-group" },
      h("p", { class: "gmi-group-what" }, icon("clone"), h("span", { text: t(titles.length === 2 ? "groups.two" : "groups.many", { n: titles.length, bytes: bytes(size) }) })),
      h("ul", {}, ...titles.map((title) => h("li", { text: title, title }))),
    ),
  );
}

function goneList(gone) {
  const total = gone.reduce((sum, entry) => sum + entry.samples, 0);
  const rows = gone.map((entry) => {
    const { ask, slot } = removal([entry.identity], entry.samples, t("gone.removeShort"), true);
    ask.setAttribute("aria-label", t("gone.remove", { title: entry.title }));
    return h(
      "li",
      { class: "gmi-gone" },
      h("div", { class: "gmi-gone-line" }, h("span", { class: "gmi-title", title: entry.name }, ...breakable(entry.title)), h("span", { class: "gmi-facts", text: tn("gone.samples", entry.samples) }), ask),
      slot,
    );
  });
  const all = removal(gone.map((entry) => entry.identity), total, t("gone.removeAll"), true);
  return [h("p", { class: "gmi-hint", text: t("gone.what") }), h("ul", { class: "gmi-list" }, ...rows), ...(gone.length > 1 ? [h("div", { class: "gmi-row" }, all.ask), all.slot] : [])];
}

/** @returns {{element: HTMLElement, showMissing: () => void, actOnHarvest: (action: () => Promise<any>) => Promise<void>}} */
export function checkpointsView() {
  const selected = new Set();
  /** Rows are kept by name and updated in place, so that an open one stays open. */
  const rows = new Map();
  let shown = "all";

  const panel = buildPanel({
    selected,
    clearSelection() {
      selected.clear();
      drawList();
    },
  });
  const harvest = harvestPanel();
  const packs = packsPanel();
  const search = h("input", {
    type: "search",
    class: "gmi-input",
    placeholder: t("list.search"),
    "aria-label": t("list.search"),
    spellcheck: "false",
    on: { input: drawList, keydown: (event) => event.stopPropagation() },
  });
  const states = h("div", {});
  const count = h("span", { class: "gmi-hint" });
  const all = h("input", {
    type: "checkbox",
    class: "gmi-check",
    "aria-label": t("list.selectAll"),
    title: t("list.selectAll"),
    on: {
      change() {
        for (const row of visibleRows().filter(buildable)) {
          if (all.checked) selected.add(row.name);
          else selected.delete(row.name);
        }
        drawList();
      },
    },
  });
  const list = h("ul", { class: "gmi-list" });
  const empty = h("p", { class: "gmi-empty", text: t("list.empty") });
  const groups = h("section", { class: "gmi-section" });
  const gone = h("section", { class: "gmi-section" });
  const loading = h("div", { class: "gmi-slot" });
  const body = h(
    "div",
    { class: "gmi-stack" },
    panel.element,
    harvest.element,
    h("div", { class: "gmi-list-tools" }, search, states, h("label", { class: "gmi-list-all" }, all, count)),
    list,
    empty,
    groups,
    gone,
    packs.element,
  );
  const element = h("section", { class: "gmi-view", "aria-label": t("tab.checkpoints") }, loading, body);

  function drawStates() {
    fill(states, choice({
      label: t("list.states"),
      name: "gmi-state",
      kind: "chips",
      value: shown,
      choices: Object.keys(SHOWN).map((key) => ({ value: key, label: t(`list.${key}`) })),
      onChange(value) {
        shown = value;
        drawList();
      },
    }));
  }

  function visibleRows() {
    const words = search.value.trim().toLowerCase();
    return (state.library?.checkpoints ?? []).filter((row) => SHOWN[shown](row) && `${row.title} ${row.name}`.toLowerCase().includes(words));
  }

  function drawList() {
    const { library } = state;
    if (!library) return;
    const names = new Set(library.checkpoints.map((row) => row.name));
    for (const name of [...selected]) if (!names.has(name)) selected.delete(name);
    for (const name of [...rows.keys()]) if (!names.has(name)) rows.delete(name);

    const visible = visibleRows();
    const elements = visible.map((row) => {
      const known = rows.get(row.name);
      if (known) known.update(row);
      else rows.set(row.name, checkpointRow(row, { selected, onSelect: drawSelection }));
      return rows.get(row.name).element;
    });
    // Putting an element where it already is would take the focus out of it.
    if (elements.length !== list.children.length || elements.some((item, index) => list.children[index] !== item)) fill(list, ...elements);
    empty.hidden = visible.length > 0;
    drawSelection();
  }

  function drawSelection() {
    const able = visibleRows().filter(buildable);
    const taken = able.filter((row) => selected.has(row.name)).length;
    all.checked = able.length > 0 && taken === able.length;
    all.indeterminate = taken > 0 && taken < able.length;
    all.disabled = able.length === 0;
    setText(count, tn("list.shown", visibleRows().length));
    panel.update();
  }

  let drawnExtras = null;
  function drawExtras(library) {
    const key = JSON.stringify([library.groups, library.gone]);
    if (key === drawnExtras) return;
    drawnExtras = key;
    groups.hidden = library.groups.length === 0;
    fill(groups, h("h2", { text: t("groups.title") }), h("ul", { class: "gmi-list" }, ...groupCards(library.groups)));
    gone.hidden = library.gone.length === 0;
    fill(gone, h("h2", { text: t("gone.title") }), ...goneList(library.gone));
  }

  function drawLibrary() {
    const { library, error } = state;
    body.hidden = !library;
    if (error) fill(loading, notice("error", error, button(t("error.retry"), reload, { small: true, icon: "refresh" })));
    else if (library) fill(loading);
    else fill(loading, ...Array.from({ length: 5 }, () => h("div", { class: "gmi-bone gmi-bone-other" })));
    if (!library) return;
    drawExtras(library);
    drawList();
  }

  let current = null;
  subscribe((what) => {
    if (what === "library") return drawLibrary();
    if (what === "packs") {
      for (const row of rows.values()) row.update(row.row);
    }
    if (what !== "build") return;
    panel.update();
    const name = `${state.build?.current?.name} ${state.build?.state}`;
    if (name === current) return;
    current = name;
    for (const row of rows.values()) row.update(row.row);
  });
  drawStates();
  drawLibrary();

  return {
    element,
    actOnHarvest: harvest.act,
    showMissing() {
      shown = "missing";
      search.value = "";
      drawStates();
      drawList();
    },
  };
}

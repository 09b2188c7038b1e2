/** One checkpoint in the list: its state in a line, more when opened. */
import { checkPack, removeSpecifications, startBuild } from "./api.js";
import { breakable, button, chip, fill, h, icon, notice } from "./dom.js";
import { architecture, buildable, bytes, date } from "./format.js";
import { loadFilters } from "./preferences.js";
import { settingsForm } from "./settings_form.js";
import { reload, reloadPacks, setBuild, state } from "./store.js";
import { t, tn } from "./strings.js";
import { thumb } from "./thumbs.js";

const STATE_ICONS = {
  none: "circle", imported: "box", harvested: "images", quick: "circle-fill", ready: "check-circle", outdated: "history", suspect: "exclamation-triangle",
  unsupported: "ban", failed: "times-circle", building: "spinner",
};

function stateLine(row, building) {
  const name = building ? "building" : row.state;
  const begun = name === "none" && row.samples > 0;
  return h(
    "span",
    { class: `gmi-state gmi-state-${name}` },
    icon(STATE_ICONS[name] ?? "circle"),
    h("span", { text: t(begun ? "state.begun" : `state.${name}`, row) }),
  );
}

/** The pass chosen in the panel above; a checkpoint that is past it gets the next one. */
function passFor(row) {
  const { limit } = loadFilters();
  if (limit === null || limit > row.samples) return limit;
  const next = state.library.passes.find((pass) => pass > row.samples) ?? row.of;
  return next >= row.of ? null : next;
}

/** The spot check of what a pack says of it, if somebody has asked for one. */
const checkOf = (row) => state.packs?.checks[row.name];
const underWay = (check) => check?.state === "waiting" || check?.state === "comparing";

/** "Remove specification", asking once more in its place. */
export function removal(names, samples, label = t("row.remove"), gone = false) {
  const slot = h("div", { class: "gmi-slot" });
  const ask = button(label, () => {
    const keep = button(t("row.removeNo"), () => fill(slot), { kind: "quiet", small: true });
    const yes = button(t("row.removeYes"), async () => {
      yes.disabled = true;
      try {
        await removeSpecifications(names, gone);
        fill(slot);
        await reload();
      } catch (error) {
        fill(slot, notice("error", error.message));
      }
    }, { kind: "danger", small: true });
    fill(slot, notice("caution", tn("row.removeAsk", samples), yes, keep));
    keep.focus();
  }, { kind: "quiet", small: true, icon: "trash" });
  return { ask, slot };
}

/**
 * @param {any} row as the library answers it
 * @param {{selected: Set<string>, onSelect: () => void}} selection
 * @returns {{element: HTMLElement, update: (row: any) => void, row: any}}
 */
export function checkpointRow(row, { selected, onSelect }) {
  let drawn = "";
  let editing = false;

  const check = h("input", {
    type: "checkbox",
    class: "gmi-check",
    "aria-label": t("list.select", { title: row.title }),
    on: {
      change() {
        if (check.checked) selected.add(row.name);
        else selected.delete(row.name);
        onSelect();
      },
    },
  });
  const face = h("div", { class: "gmi-row-face" });
  const meta = h("div", { class: "gmi-row-meta" });
  const reason = h("p", { class: "gmi-row-reason" });
  const details = h("div", { class: "gmi-row-details", hidden: true });
  const checked = h("div", { class: "gmi-slot gmi-row-checked" });
  const toggle = h(
    "button",
    {
      type: "button",
      class: "gmi-row-toggle",
      "aria-expanded": "false",
      "aria-label": t("list.details", { title: row.title }),
      on: {
        click() {
          details.hidden = !details.hidden;
          toggle.setAttribute("aria-expanded", String(!details.hidden));
          editing = false;
          if (details.hidden) fill(details);
          else drawDetails();
        },
      },
    },
    h("span", { class: "gmi-title", title: row.name }, ...breakable(row.title)),
    icon("chevron-down"),
  );
  const element = h(
    "li",
    { class: "gmi-checkpoint" },
    h("div", { class: "gmi-checkpoint-line" }, check, face, h("div", { class: "gmi-card-body" }, toggle, meta, reason)),
    details,
    checked,
  );

  const building = () => state.build?.state !== "idle" && state.build?.current?.name === row.name;

  function drawDetails() {
    if (editing) return fill(details, settingsForm(row, state.library, () => {
      editing = false;
      drawDetails();
    }));
    const idle = state.build?.state === "idle";
    const { ask, slot } = removal([row.name], row.stored + row.harvested);
    const problem = h("div", { class: "gmi-slot" });
    const build = button(t("row.build"), async () => {
      try {
        setBuild(await startBuild([row.name], passFor(row)));
      } catch (error) {
        fill(problem, notice("error", error.message));
      }
    }, { small: true, icon: "play" });
    const check = button(t("row.check"), async () => {
      check.disabled = true;
      try {
        await checkPack(row.name);
        await reloadPacks();
      } catch (error) {
        fill(problem, notice("error", error.message));
        check.disabled = false;
      }
    }, { small: true, icon: "verified", title: t("row.checkTitle") });
    check.disabled = underWay(checkOf(row));
    fill(
      details,
      row.previews.length > 0 && h("div", { class: "gmi-evidence" }, ...row.previews.slice(0, 4).map((path) => thumb(path, row.title))),
      h("p", { class: "gmi-facts" }, [row.name, bytes(row.size), row.built && t("row.built", { date: date(row.built) })].filter(Boolean).join(" · ")),
      h(
        "div",
        { class: "gmi-row" },
        idle && buildable(row) && Object.values(row.missing ?? {}).some((n) => n > 0) && build,
        row.state === "imported" && check,
        row.settings && button(t("row.settings"), () => {
          editing = true;
          drawDetails();
        }, { small: true, icon: "sliders-h" }),
        row.stored + row.harvested > 0 && ask,
      ),
      slot,
      problem,
    );
  }

  let drawnCheck = null;
  /** What a spot check says stays below the row, open or not. */
  function drawCheck() {
    const check = row.state === "imported" ? checkOf(row) : undefined;
    const key = JSON.stringify(check);
    if (key === drawnCheck) return;
    drawnCheck = key;
    const kind = check?.state === "failed" ? "error" : check?.doubtful ? "caution" : "done";
    fill(checked, check && (underWay(check) ? h("p", { class: "gmi-hint", role: "status", text: t(`check.${check.state}`) }) : notice(kind, check.sentence)));
  }

  function update(next) {
    row = next;
    handle.row = row;
    check.checked = selected.has(row.name);
    check.disabled = !buildable(row);
    drawCheck();
    const key = JSON.stringify([row, building(), state.build?.state === "idle", checkOf(row)]);
    if (key === drawn) return;
    drawn = key;
    element.classList.toggle("gmi-dim", row.state === "unsupported");
    fill(face, row.previews.length > 0 ? thumb(row.previews[0], row.title, "gmi-thumb-row") : thumb(null, row.title, "gmi-thumb-row"));
    fill(
      meta,
      stateLine(row, building()),
      row.architecture && chip(architecture(row.architecture)),
      row.acceleration && chip(row.acceleration),
      row.kind === "recipe" && chip(t("ranking.recipe"), "accent"),
      row.edited && chip(t("row.edited"), "accent"),
    );
    reason.textContent = row.reason ?? "";
    reason.hidden = !row.reason;
    // A form somebody is filling in is never redrawn under their hands.
    if (!details.hidden && !editing && !details.querySelector(".gmi-notice")) drawDetails();
  }

  const handle = { element, update, row };
  update(row);
  return handle;
}

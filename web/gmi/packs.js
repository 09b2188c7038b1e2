/** Packs: specifications that others made. Every text in one is a stranger's, and only ever shown as text. */
import { importPack, removePack } from "./api.js";
import { breakable, button, fill, h, notice, outsideLink } from "./dom.js";
import { bytes } from "./format.js";
import { reload, reloadPacks, state, subscribe } from "./store.js";
import { t, tn } from "./strings.js";

/** How often checks are looked after that wait in the queue: somebody may take them out of it. */
const PAUSE = 3000;

const dataUrl = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(t("packs.unreadable")));
    reader.readAsDataURL(file);
  });

/** @returns {{element: HTMLElement}} */
export function packsPanel() {
  let drawn = null;
  let timer = null;

  const outcome = h("div", { class: "gmi-slot" });
  const list = h("ul", { class: "gmi-packs", "aria-label": t("packs.title") });
  const picker = h("input", {
    type: "file",
    accept: ".gmipack",
    hidden: true,
    on: {
      change() {
        const [file] = picker.files;
        picker.value = "";
        if (file) guard(() => add(file));
      },
    },
  });
  const choose = button(t("packs.import"), () => picker.click(), { icon: "plus" });
  const change = h("div", { class: "gmi-row" }, choose, picker);
  const element = h(
    "div",
    { class: "gmi-panel", hidden: true },
    h("h2", { text: t("packs.title") }),
    h("p", { class: "gmi-hint", text: t("packs.what") }),
    list,
    change,
    outcome,
  );

  async function guard(action) {
    fill(outcome);
    choose.disabled = true;
    try {
      await action();
    } catch (error) {
      fill(outcome, notice("error", error.message));
    }
    choose.disabled = false;
  }

  async function add(file) {
    const { limit } = state.packs;
    if (file.size > limit) throw new Error(t("packs.tooLarge", { size: bytes(file.size), limit: bytes(limit) }));
    fill(outcome, h("p", { class: "gmi-hint", text: t("packs.importing") }));
    const { title, new: fresh } = await importPack(await dataUrl(file));
    fill(outcome, notice("done", t(fresh ? "packs.imported" : "packs.known", { title })));
    await Promise.all([reload(), reloadPacks()]);
  }

  function packLine(pack, writable) {
    const slot = h("div", { class: "gmi-slot" });
    const keep = button(t("packs.removeNo"), () => fill(slot), { kind: "quiet", small: true });
    const yes = button(t("packs.removeYes"), () => guard(async () => {
      await removePack(pack.id);
      fill(outcome, notice("done", t("packs.removed", { title: pack.title })));
      await Promise.all([reload(), reloadPacks()]);
    }), { kind: "danger", small: true });
    const ask = button(t("packs.remove"), () => {
      fill(slot, notice("caution", t("packs.removeAsk"), yes, keep));
      keep.focus();
    }, { kind: "quiet", small: true, icon: "trash" });
    ask.setAttribute("aria-label", t("packs.removeTitle", { title: pack.title }));
    const counts = `${tn("packs.specifications", pack.specifications)}, ${t("packs.installed", { n: pack.installed })}`;
    return h(
      "li",
      { class: "gmi-pack" },
      h("span", { class: "gmi-title" }, ...breakable(pack.title)),
      h("p", { class: "gmi-facts", text: [pack.author, pack.licence || t("packs.noLicence")].filter(Boolean).join(" · ") }),
      h("p", { class: "gmi-facts", text: counts }),
      pack.problem && h("p", { class: "gmi-error-text", text: pack.problem }),
      h("div", { class: "gmi-row" }, outsideLink(t("packs.page"), pack.link), writable && ask),
      slot,
    );
  }

  function draw() {
    const { packs } = state;
    if (!packs) return;
    element.hidden = false;
    const key = JSON.stringify([packs.packs, packs.writable]);
    if (key === drawn) return;
    drawn = key;
    list.hidden = packs.packs.length === 0;
    change.hidden = !packs.writable;
    fill(list, ...packs.packs.map((pack) => packLine(pack, packs.writable)));
  }

  /** Asks again only while a check is under way and the tab is open. */
  function follow() {
    const checks = Object.values(state.packs?.checks ?? {});
    const busy = checks.some((check) => check.state === "waiting" || check.state === "comparing");
    if (timer !== null || !busy || !element.isConnected) return;
    timer = setTimeout(() => {
      timer = null;
      reloadPacks();
    }, PAUSE);
  }

  subscribe((what) => {
    if (what === "library" && element.isConnected) reloadPacks();
    if (what !== "packs") return;
    draw();
    follow();
  });
  return { element };
}

/** The sidebar tab: two views under one switch, and a line about a build under way. */
import { app } from "../../../scripts/app.js";
import { buildLine, buildShare } from "./build_panel.js";
import { checkpointsView } from "./checkpoints.js";
import { dress } from "./colours.js";
import { choice, fill, h, icon, progressBar, setText } from "./dom.js";
import { findView } from "./find.js";
import { reload, state, subscribe } from "./store.js";
import { t } from "./strings.js";

export const TAB = "find-best-model";

/** Made once and kept: closing the tab must not lose the images and the ranking. */
let tab = null;
let pasteListener = null;

function buildStrip(onOpen) {
  const bar = progressBar(t("build.progress"));
  const what = h("span", { class: "gmi-strip-what" });
  const line = h("span", { class: "gmi-strip-line" });
  const element = h(
    "button",
    { type: "button", class: "gmi-strip", title: t("strip.show"), hidden: true, on: { click: onOpen } },
    h("span", { class: "gmi-strip-text" }, what, line),
    bar.element,
  );
  return {
    element,
    update(hidden) {
      const { build } = state;
      element.hidden = hidden || !build || build.state === "idle";
      if (element.hidden) return;
      setText(what, t(build.state === "paused" ? "strip.paused" : "strip.running"));
      setText(line, buildLine(build));
      bar.set(buildShare(build));
    },
  };
}

function makeTab() {
  let view = "find";
  const find = findView({ showCheckpoints, actOnHarvest: (action) => checkpoints.actOnHarvest(action) });
  const checkpoints = checkpointsView();
  const switcher = h("div", { class: "gmi-switch" });
  const strip = buildStrip(() => show("checkpoints"));
  const element = h(
    "div",
    // Focusable, so that a click anywhere in it makes a paste go to it.
    { class: "gmi gmi-sidebar", tabIndex: -1 },
    h(
      "header",
      { class: "gmi-header" },
      h("h1", {}, icon("images"), h("span", { text: t("tab.title") })),
      switcher,
      strip.element,
    ),
    find.element,
    checkpoints.element,
  );

  function show(next) {
    view = next;
    find.element.hidden = view !== "find";
    checkpoints.element.hidden = view !== "checkpoints";
    fill(switcher, choice({
      label: t("tab.views"),
      name: "gmi-view",
      value: view,
      choices: [{ value: "find", label: t("tab.find") }, { value: "checkpoints", label: t("tab.checkpoints") }],
      onChange(value) {
        show(value);
        // The switch was drawn anew; the keyboard stays where it was.
        switcher.querySelector("input:checked")?.focus();
      },
    }));
    strip.update(view === "checkpoints");
  }

  function showCheckpoints(missingOnly = false) {
    show("checkpoints");
    if (missingOnly) checkpoints.showMissing();
    element.scrollIntoView({ block: "start" });
  }

  subscribe(() => strip.update(view === "checkpoints"));
  show(view);
  dress(element);
  return { element, show, paste: find.paste, isFinding: () => view === "find" };
}

/** @param {HTMLElement} place ComfyUI calls this again whenever it redraws the sidebar */
export function mountSidebar(place) {
  tab ??= makeTab();
  if (tab.element.parentNode === place) return;
  place.classList.add("gmi-place");
  place.replaceChildren(tab.element);
  if (!pasteListener) {
    pasteListener = (event) => {
      // With the focus nowhere ComfyUI would paste into the workflow; the pointer says which is meant.
      const here = tab.element.contains(event.target) || (event.target === document.body && tab.element.matches(":hover"));
      if (here && tab.isFinding()) tab.paste(event);
    };
    document.addEventListener("paste", pasteListener, { capture: true });
  }
  reload();
}

/** Opens the tab from elsewhere in ComfyUI. @param {"find"|"checkpoints"} view */
export async function openSidebar(view = "find") {
  tab ??= makeTab();
  tab.show(view);
  if (!tab.element.isConnected) await app.extensionManager.command.execute(`Workspace.ToggleSidebarTab.${TAB}`);
}

export function unmountSidebar() {
  document.removeEventListener("paste", pasteListener, { capture: true });
  pasteListener = null;
  tab?.element.remove();
}

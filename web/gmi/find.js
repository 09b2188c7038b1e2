/** The "Find" view: images in, ranking out. */
import { rank } from "./api.js";
import { button, choice, fill, h, icon, iconButton, notice } from "./dom.js";
import { welcome } from "./first_run.js";
import { architecture } from "./format.js";
import { droppedFiles, imageFiles, MOST_IMAGES, readImage } from "./images.js";
import { lastOutput } from "./last_output.js";
import { loadFilters, saveFilters } from "./preferences.js";
import { renderRanking } from "./ranking.js";
import { state, subscribe } from "./store.js";
import { t } from "./strings.js";

/**
 * @param {{showCheckpoints: (missingOnly?: boolean) => void, actOnHarvest: (action: () => Promise<any>) => Promise<void>}} shell
 * @returns {{element: HTMLElement, paste: (event: ClipboardEvent) => void}}
 */
export function findView(shell) {
  const { showCheckpoints } = shell;
  /** @type {import("./images.js").QueryImage[]} */
  let images = [];
  let question = 0;
  const filters = loadFilters();

  const first = h("div", { hidden: true });
  const problem = h("div", { class: "gmi-slot" });
  const images_ = h("div", { class: "gmi-images" });
  const results = h("div", { class: "gmi-results", "aria-live": "polite" });
  const busy = h("div", { class: "gmi-busy", "aria-hidden": "true" });

  const picker = h("input", {
    type: "file",
    accept: "image/*",
    multiple: true,
    hidden: true,
    on: {
      change() {
        add([...picker.files]);
        picker.value = "";
      },
    },
  });

  const prompt = h("input", {
    type: "text",
    class: "gmi-input",
    placeholder: t("find.promptHint"),
    on: { change: ask, keydown: onlyHere },
  });

  const pattern = h("input", {
    type: "text",
    class: "gmi-input gmi-input-pattern",
    placeholder: t("find.patternHint"),
    "aria-label": t("find.pattern"),
    value: filters.pattern,
    spellcheck: "false",
    on: {
      change() {
        filters.pattern = pattern.value.trim();
        saveFilters({ pattern: filters.pattern });
        ask();
      },
      keydown: onlyHere,
    },
  });

  const architectures = h("div", {});
  const more = h(
    "div",
    { class: "gmi-refine-more", hidden: !filters.pattern },
    h("label", { class: "gmi-field" }, h("span", { class: "gmi-field-name", text: t("find.prompt") }), prompt),
    h("label", { class: "gmi-field" }, h("span", { class: "gmi-field-name", text: t("find.pattern") }), pattern),
  );
  const refineButton = iconButton("sliders-h", t("find.more"), () => {
    more.hidden = !more.hidden;
    refineButton.setAttribute("aria-expanded", String(!more.hidden));
  });
  refineButton.setAttribute("aria-expanded", String(!more.hidden));
  const refine = h("div", { class: "gmi-refine" }, h("div", { class: "gmi-refine-line" }, architectures, refineButton), more);

  /** A hidden prompt or pattern that is in force is marked on the button that shows it. */
  const markRefined = () => refineButton.classList.toggle("gmi-refine-set", Boolean(filters.pattern || prompt.value.trim()));

  const element = h(
    "section",
    {
      class: "gmi-view",
      "aria-label": t("tab.find"),
      on: { dragenter: over, dragover: over, dragleave: out, drop },
    },
    first,
    images_,
    picker,
    problem,
    refine,
    busy,
    results,
  );

  /** ComfyUI's shortcuts must not fire while somebody types. */
  function onlyHere(event) {
    event.stopPropagation();
    if (event.key === "Enter") event.target.blur();
  }

  function over(event) {
    event.preventDefault();
    event.stopPropagation();
    element.classList.add("gmi-dropping");
  }

  function out(event) {
    if (!element.contains(event.relatedTarget)) element.classList.remove("gmi-dropping");
  }

  function drop(event) {
    // Else ComfyUI would open the image as a workflow.
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove("gmi-dropping");
    guard(async () => add(await droppedFiles(event.dataTransfer)));
  }

  function paste(event) {
    const files = imageFiles(event.clipboardData);
    if (files.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    add(files);
  }

  async function guard(action) {
    fill(problem);
    try {
      await action();
    } catch (error) {
      fill(problem, notice("error", error.message));
    }
  }

  function add(files, { instead = false } = {}) {
    return guard(async () => {
      const read = await Promise.allSettled(files.map(readImage));
      const before = instead ? [] : images; // only now: another drop may have ended meanwhile
      const good = read.filter((result) => result.status === "fulfilled").map((result) => result.value);
      const fresh = good.filter((image) => !before.some((other) => other.url === image.url));
      images = [...before, ...fresh].slice(0, MOST_IMAGES);
      drawImages();
      if (fresh.length > 0) ask();
      const failed = read.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
      if (before.length + fresh.length > MOST_IMAGES) throw new Error(t("error.tooMany"));
    });
  }

  const useLast = () =>
    guard(async () => {
      const files = await lastOutput(MOST_IMAGES);
      if (files.length === 0) return fill(problem, notice("info", t("find.noLast")));
      await add(files, { instead: true });
    });

  function clear() {
    images = [];
    question += 1;
    fill(problem);
    drawImages();
    drawEmpty();
  }

  function drawImages() {
    const some = images.length > 0;
    element.classList.toggle("gmi-has-images", some);
    const choose = button(some ? t("find.add") : t("find.choose"), () => picker.click(), some ? { small: true, icon: "plus" } : { kind: "primary", icon: "upload" });
    const last = button(t(some ? "find.lastShort" : "find.last"), useLast, { small: some, icon: "history", title: t("find.lastTitle") });
    choose.disabled = images.length >= MOST_IMAGES;
    if (!some) {
      return fill(
        images_,
        h(
          "div",
          { class: "gmi-drop" },
          icon("images"),
          h("p", { class: "gmi-drop-title", text: t("find.drop") }),
          h("p", { class: "gmi-hint", text: t("find.paste") }),
          h("div", { class: "gmi-row gmi-row-center" }, choose, last),
        ),
      );
    }
    const tiles = images.map((image, index) =>
      h(
        "li",
        { class: "gmi-tile" },
        h("img", { src: image.url, alt: image.name, title: image.name }),
        iconButton("times", t("find.remove", { name: image.name }), () => {
          images = images.filter((_, other) => other !== index);
          if (images.length === 0) return clear();
          drawImages();
          ask();
        }),
      ),
    );
    fill(
      images_,
      h("ul", { class: "gmi-tiles", "aria-label": t("find.images") }, ...tiles),
      h("div", { class: "gmi-row" }, choose, last, iconButton("times", t("find.clear"), clear)),
    );
  }

  function drawEmpty() {
    element.classList.remove("gmi-asking");
    fill(results, h("p", { class: "gmi-empty", text: t("find.empty") }));
  }

  function drawWaiting() {
    // The old answer stays in its place, dimmed, so that nothing jumps while the new one is made.
    element.classList.add("gmi-asking");
    if (results.querySelector(".gmi-ranking")) return;
    const bone = (kind) => h("div", { class: `gmi-bone ${kind}` });
    fill(
      results,
      h("p", { class: "gmi-visually-hidden", text: t("find.ranking") }),
      bone("gmi-bone-verdict"), bone("gmi-bone-first"), bone("gmi-bone-other"), bone("gmi-bone-other"),
    );
  }

  /** Ranks as soon as there is something to rank; a newer question makes an older answer void. */
  async function ask() {
    markRefined();
    if (images.length === 0) return;
    question += 1;
    const mine = question;
    drawWaiting();
    try {
      const ranking = await rank({
        images: images.map((image) => image.url),
        prompt: prompt.value.trim() || undefined,
        architecture: filters.architecture,
        pattern: filters.pattern,
      });
      if (mine !== question) return;
      fill(results, renderRanking(ranking, { onBuildMissing: () => showCheckpoints(true) }));
    } catch (error) {
      if (mine !== question) return;
      fill(results, notice("error", error.message, button(t("error.retry"), ask, { small: true, icon: "refresh" })));
    }
    element.classList.remove("gmi-asking");
  }

  let drawnWelcome = null;
  /** Drawn anew only when it says something else: somebody may be about to press its button. */
  function drawWelcome(library) {
    const { build, harvest } = state;
    const key = JSON.stringify([library, build, harvest && { ...harvest, files: 0 }]);
    if (key === drawnWelcome) return;
    drawnWelcome = key;
    fill(first, welcome(library, build, harvest, shell));
  }

  let drawnArchitectures = null;
  function drawLibrary() {
    const { library } = state;
    const nothingYet = Boolean(library?.first_run);
    element.classList.toggle("gmi-first-run", nothingYet);
    first.hidden = !nothingYet;
    if (nothingYet) drawWelcome(library);
    const known = library?.architectures ?? [];
    if (JSON.stringify(known) === drawnArchitectures) return;
    drawnArchitectures = JSON.stringify(known);
    if (library && filters.architecture !== "any" && !known.includes(filters.architecture)) filters.architecture = "any";
    fill(
      architectures,
      choice({
        label: t("find.architecture"),
        name: "gmi-architecture",
        kind: "chips",
        value: filters.architecture,
        choices: [{ value: "any", label: t("find.any") }, ...known.map((key) => ({ value: key, label: architecture(key) }))],
        onChange(value) {
          filters.architecture = value;
          saveFilters({ architecture: value });
          ask();
        },
      }),
    );
  }

  subscribe((what) => {
    if (what === "library") drawLibrary();
    if (what === "harvest" && state.library?.first_run) drawWelcome(state.library);
  });
  drawImages();
  drawEmpty();
  drawLibrary();
  markRefined();
  return { element, paste };
}

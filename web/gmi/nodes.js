/** What the extension's nodes show below their inputs. */
import { startBuild } from "./api.js";
import { buildLine, buildShare } from "./build_panel.js";
import { button, h, progressBar, setText } from "./dom.js";
import { addPanel, after, growTo, widgetOf } from "./node_panel.js";
import { renderCompact } from "./ranking.js";
import { renderHits, renderSimilar } from "./search_results.js";
import { setBuild, state, subscribe } from "./store.js";
import { t } from "./strings.js";
import { noteChange } from "./workflow.js";

const waiting = (key) => h("p", { class: "gmi-node-empty", text: t(key) });

/** Room for what is in a node from the beginning, and for its panel. */
function makeRoom(node, width) {
  growTo(node, width, node.computeSize([width, 0])[1]);
}

/** On the canvas the box of a text would take half of the height that is meant for the panel. */
function keepLow(widget) {
  if (widget?.options && widget.element) widget.options.getMaxHeight = () => 72;
}

function decorateLock(node) {
  const lock = widgetOf(node, "lock_answer");
  const answer = widgetOf(node, "locked_answer");
  if (!lock || !answer) return () => {};
  // Without the lock there is nothing to see in it; with the lock ComfyUI shows what it is locked to.
  const showState = () => {
    answer.disabled = !lock.value;
  };
  after(lock, "callback", (value) => {
    if (!value) answer.value = "";
    showState();
  });
  after(node, "onConfigure", showState);
  showState();
  return (ranking) => {
    if (lock.value && !answer.value && ranking.chosen) {
      answer.value = ranking.chosen;
      noteChange();
    }
  };
}

function decorateRanking(node) {
  const lockIn = decorateLock(node);
  addPanel(node, "gmi_ranking", waiting("node.waiting"), 48, renderCompact, lockIn);
  keepLow(widgetOf(node, "prompt"));
  makeRoom(node, 320);
}

/**
 * Shows what a search found below the inputs of a node.
 * @param {string} key of the node's output
 * @param {(found: any) => HTMLElement} render
 */
function decorateSearch(key, render) {
  return (node) => {
    addPanel(node, key, waiting("node.searchWaiting"), 48, render);
    keepLow(widgetOf(node, "text"));
    makeRoom(node, 400);
  };
}

const PASSES = { 4: 4, 8: 8, 16: 16 };

/** "4 (quick)" is 4, "all" is null. */
const passOf = (choice) => PASSES[Number.parseInt(choice, 10)] ?? null;

function decorateBuild(node) {
  const bar = progressBar(t("build.progress"));
  const line = h("p", { class: "gmi-hint gmi-node-line", role: "status", text: t("node.buildHint") });
  const start = button(t("node.build"), build, { kind: "primary", icon: "play" });
  addPanel(node, "gmi_build", h("div", { class: "gmi-node-build" }, start, bar.element, line), 96);
  bar.set(0);

  async function build() {
    start.disabled = true;
    try {
      const pattern = widgetOf(node, "pattern")?.value ?? "*";
      const limit = passOf(widgetOf(node, "prompts")?.value ?? "4");
      const build = await startBuild(null, limit, pattern);
      setBuild(build);
      if (build.state === "idle") setText(line, build.message);
    } catch (error) {
      setText(line, error.message);
      start.disabled = false;
    }
  }

  let wasBusy = false;
  function show() {
    const { build } = state;
    const busy = Boolean(build && build.state !== "idle");
    start.disabled = busy;
    if (busy) {
      bar.set(buildShare(build));
      setText(line, buildLine(build));
    } else {
      bar.set(wasBusy ? 1 : 0);
      if (wasBusy) setText(line, build?.message || t("node.done"));
    }
    wasBusy = busy;
  }

  const stop = subscribe(show);
  after(node, "onRemoved", stop);
  show();
  makeRoom(node, 300);
}

function decorateRecipe(node) {
  const bar = progressBar(t("build.progress"));
  const line = h("p", { class: "gmi-hint gmi-node-line", role: "status", text: t("node.recipe") });
  bar.set(0);
  addPanel(node, "gmi_recipe", h("div", { class: "gmi-node-build" }, bar.element, line), 62, (recipe) => {
    bar.set(recipe.of ? recipe.samples / recipe.of : 0);
    setText(line, recipe.message);
    return null;
  });
  makeRoom(node, 280);
}

/** A node that shows nothing of its own; what went wrong with it belongs on it all the same. */
function decoratePlain(node) {
  addPanel(node, "gmi_problem", waiting("node.recipe"), 36);
  makeRoom(node, 280);
}

const DECORATORS = {
  GMI_FindBestModel: decorateRanking,
  GMI_LoadBestModel: decorateRanking,
  GMI_CompareTopK: decorateRanking,
  GMI_SearchSamples: decorateSearch("gmi_search", renderHits),
  GMI_SimilarModels: decorateSearch("gmi_similar", renderSimilar),
  GMI_BuildSpecifications: decorateBuild,
  GMI_SpecificationPrompt: decoratePlain,
  GMI_AddToSpecification: decorateRecipe,
};

/** For registerExtension({nodeCreated}). */
export function decorateNode(node) {
  DECORATORS[node.comfyClass]?.(node);
}

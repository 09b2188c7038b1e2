/** What the extension's nodes show below their inputs. */
import { app } from "../../../scripts/app.js";
import { startBuild } from "./api.js";
import { buildLine, buildShare } from "./build_panel.js";
import { button, fill, h, progressBar, setText } from "./dom.js";
import { renderCompact } from "./ranking.js";
import { hitsHeight, renderHits, renderSimilar } from "./search_results.js";
import { setBuild, state, subscribe } from "./store.js";
import { t } from "./strings.js";

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);

/**
 * Adds an element below the node's inputs. It is added last and saved nowhere: both flags matter, one
 * is read when the workflow is saved and the other when it is run, and a value in the list of saved
 * ones would shift those after it.
 * @param {() => number} minimum its least height
 */
function addPanel(node, name, element, minimum) {
  element.classList.add("gmi", "gmi-node");
  const options = { serialize: false, hideOnZoom: false, margin: 8, getMinHeight: minimum, getValue: () => "", setValue() {} };
  const widget = node.addDOMWidget(name, name, element, options);
  widget.serialize = false;
  return widget;
}

function after(node, method, action) {
  const before = node[method];
  node[method] = function (...args) {
    const answer = before?.apply(this, args);
    action.apply(this, args);
    return answer;
  };
}

/** Makes room, never takes it: somebody may have made the node larger on purpose. */
function growTo(node, width, height) {
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  app.graph?.setDirtyCanvas(true, true);
}

const tidy = (node) => growTo(node, 0, node.computeSize()[1]);

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
      app.extensionManager.workflow?.activeWorkflow?.changeTracker?.checkState?.();
    }
  };
}

function decorateRanking(node) {
  const lockIn = decorateLock(node);
  const element = h("div", {}, h("p", { class: "gmi-node-empty", text: t("node.waiting") }));
  let drawn = null;
  const room = () => (drawn ? 84 + 52 * Math.min(drawn.candidates.length, 5) + (drawn.made_with?.length ? 36 : 0) + 36 * (drawn.elsewhere?.length ?? 0) : 48);
  const widget = addPanel(node, "gmi_ranking", element, room);
  // The prompt's box would take half of the height that is meant for the ranking.
  const prompt = widgetOf(node, "prompt");
  if (prompt?.options && prompt.element) prompt.options.getMaxHeight = () => 72;

  function draw(ranking) {
    if (!ranking || ranking === drawn) return;
    drawn = ranking;
    fill(element, renderCompact(ranking));
    tidy(node);
  }

  after(node, "onExecuted", (output) => {
    const ranking = output?.gmi_ranking?.[0];
    if (!ranking) return;
    draw(ranking);
    lockIn(ranking);
  });
  // Coming back to a workflow's tab makes its nodes anew; ComfyUI has kept what they put out.
  widget.options.onDraw = () => draw(drawn ?? app.nodeOutputs?.[node.id]?.gmi_ranking?.[0]);
  growTo(node, 320, node.computeSize([320, 0])[1]);
}

/**
 * Shows what a search found below the inputs of a node.
 * @param {string} key of the node's output
 * @param {(found: any) => HTMLElement} render
 * @param {(found: any, width: number) => number} height of what is rendered, without its notes
 */
function decorateSearch(key, render, height, width) {
  return (node) => {
    const element = h("div", {}, h("p", { class: "gmi-node-empty", text: t("node.searchWaiting") }));
    let drawn = null;
    const room = () => (drawn ? 56 + 36 * drawn.notes.length + height(drawn, node.size[0]) : 48);
    const widget = addPanel(node, key, element, room);
    const text = widgetOf(node, "text");
    if (text?.options && text.element) text.options.getMaxHeight = () => 72;

    function draw(found) {
      if (!found || found === drawn) return;
      drawn = found;
      fill(element, render(found));
      tidy(node);
    }

    after(node, "onExecuted", (output) => draw(output?.[key]?.[0]));
    widget.options.onDraw = () => draw(drawn ?? app.nodeOutputs?.[node.id]?.[key]?.[0]);
    growTo(node, width, node.computeSize([width, 0])[1]);
  };
}

const decorateSamples = decorateSearch("gmi_search", renderHits, (found, width) => hitsHeight(found.hits.length, width - 36), 400);
const decorateSimilar = decorateSearch("gmi_similar", renderSimilar, (found) => 62 * Math.min(found.candidates.length, 5), 400);

const PASSES = { 4: 4, 8: 8, 16: 16 };

/** "4 (quick)" is 4, "all" is null. */
const passOf = (choice) => PASSES[Number.parseInt(choice, 10)] ?? null;

function decorateBuild(node) {
  const bar = progressBar(t("build.progress"));
  const line = h("p", { class: "gmi-hint gmi-node-line", role: "status", text: t("node.buildHint") });
  const start = button(t("node.build"), build, { kind: "primary", icon: "play" });
  const element = h("div", {}, h("div", { class: "gmi-node-build" }, start, bar.element, line));
  addPanel(node, "gmi_build", element, () => 112);
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
  growTo(node, 300, node.computeSize()[1]);
}

function decorateRecipe(node) {
  const bar = progressBar(t("build.progress"));
  const line = h("p", { class: "gmi-hint gmi-node-line", role: "status", text: t("node.recipe") });
  const element = h("div", {}, h("div", { class: "gmi-node-build" }, bar.element, line));
  addPanel(node, "gmi_recipe", element, () => 72);
  bar.set(0);
  after(node, "onExecuted", (output) => {
    const recipe = output?.gmi_recipe?.[0];
    if (!recipe) return;
    bar.set(recipe.of ? recipe.samples / recipe.of : 0);
    setText(line, recipe.message);
  });
  growTo(node, 280, node.computeSize()[1]);
}

const DECORATORS = {
  GMI_FindBestModel: decorateRanking,
  GMI_LoadBestModel: decorateRanking,
  GMI_CompareTopK: decorateRanking,
  GMI_SearchSamples: decorateSamples,
  GMI_SimilarModels: decorateSimilar,
  GMI_BuildSpecifications: decorateBuild,
  GMI_AddToSpecification: decorateRecipe,
};

/** For registerExtension({nodeCreated}). */
export function decorateNode(node) {
  DECORATORS[node.comfyClass]?.(node);
}

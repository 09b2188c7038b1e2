/** The part of a node below its inputs where this extension shows something, in both of ComfyUI's renderings. */
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { startBuild } from "./api.js";
import { dress } from "./colours.js";
import { button, fill, h, notice } from "./dom.js";
import { everyNode, keptOutput, recall, remember } from "./node_outputs.js";
import { openSidebar } from "./sidebar.js";
import { reload, setBuild, state } from "./store.js";
import { t } from "./strings.js";

/** A long ranking scrolls, or its node would be taller than the screen. */
const MOST_HEIGHT = 460;
/** A node's property: front ends hand out proxies of nodes, which are no keys of a map. */
const PANEL = Symbol("Find Best Model");

export const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);

export function after(node, method, action) {
  const before = node[method];
  node[method] = function (...args) {
    const answer = before?.apply(this, args);
    action.apply(this, args);
    return answer;
  };
}

/** Makes room, never takes it: somebody may have made the node larger on purpose. */
export function growTo(node, width, height) {
  const [wide, high] = node.size;
  if (wide >= width && high >= height) return;
  node.setSize([Math.max(wide, width), Math.max(high, height)]);
  app.graph?.setDirtyCanvas(true, true);
}

/**
 * Adds a panel to a node. It is added last and saved nowhere: both flags matter, one is read when the workflow is saved
 * and the other when it is run, and a value in the list of saved ones would shift those after it.
 *
 * @param {any} node
 * @param {string} name of the widget; with `draw`, also the key of the node's output
 * @param {HTMLElement} first what is shown before anything else
 * @param {number} minimum its height before it was ever laid out
 * @param {(shown: any) => HTMLElement|null} [draw] makes something of the output; null: nothing new to put in
 * @param {(shown: any) => void} [ran] hears of an output that has just been made
 */
export function addPanel(node, name, first, minimum, draw, ran) {
  const content = h("div", { class: "gmi-node-content" }, first);
  const element = h("div", { class: "gmi gmi-node" }, h("div", { class: "gmi-node-scroller" }, content));
  let height = minimum;
  const options = { serialize: false, hideOnZoom: false, margin: 8, getMinHeight: () => height, getValue: () => "", setValue() {} };
  const widget = node.addDOMWidget(name, name, element, options);
  widget.serialize = false;
  element.style.minHeight = `${minimum}px`;
  dress(element, node);

  // Nodes that are part of the page grow by the style; nodes on the canvas are told to. Neither rendering is asked for
  // the width: the content has been laid out in it.
  new ResizeObserver(() => {
    if (content.offsetHeight === 0) return;
    const needed = Math.min(content.offsetHeight, MOST_HEIGHT);
    if (Math.abs(needed - height) < 2) return;
    height = needed;
    element.style.minHeight = `${height}px`;
    if (!window.LiteGraph?.vueNodesMode) growTo(node, 0, node.computeSize()[1]);
  }).observe(content);

  let drawn = "";
  let problem = null;

  function show(output) {
    const text = JSON.stringify(output);
    if (problem === null && text === drawn) return;
    drawn = text;
    problem = null;
    fill(content, draw(output) ?? first);
  }

  function fail(message) {
    if (problem === message) return;
    problem = message;
    fill(content, h("div", { class: "gmi-node-problem" }, problemNotice(message)));
  }

  const panel = {
    retry() {
      if (problem === null) return;
      problem = null;
      drawn = "";
      fill(content, first);
      const { output } = recall(node);
      remember(node, { output });
      if (output !== undefined && draw) show(output);
    },
    fail(message) {
      fail(message);
      remember(node, { ...recall(node), problem: message });
    },
    restore() {
      const known = recall(node);
      const kept = draw && keptOutput(node)?.[name]?.[0];
      // What ComfyUI has and this page does not know was made after what this page knows.
      const newer = kept !== undefined && JSON.stringify(kept) !== JSON.stringify(known.output);
      if (known.problem && !newer) return fail(known.problem);
      const output = kept ?? known.output;
      if (output === undefined || !draw) return;
      show(output);
      if (newer) remember(node, { output });
    },
  };
  node[PANEL] = panel;

  after(node, "onExecuted", (outputs) => {
    const output = outputs?.[name]?.[0];
    if (output === undefined || !draw) return;
    show(output);
    remember(node, { output });
    ran?.(output);
  });
  return widget;
}

/** What went wrong, and the way out where the sidebar has one. */
function problemNotice(message) {
  const open = button(t("node.open"), () => openSidebar(), { small: true, icon: "images" });
  const box = notice("error", message, open);
  // Without any specification there is only one thing to do, and it can be begun right here.
  reload().then(() => {
    const { library, build } = state;
    if (!library?.first_run || build?.state !== "idle" || library.checkpoints.length === 0) return;
    const start = button(t("first.start"), async () => {
      start.disabled = true;
      try {
        setBuild(await startBuild(null, library.passes[0]));
        openSidebar("checkpoints");
      } catch (error) {
        start.disabled = false;
        box.querySelector("p").textContent = error.message;
      }
    }, { kind: "primary", small: true, icon: "bolt" });
    open.before(start);
  });
  return box;
}

/** Shows again what was shown before, on every node that was made anew. */
export function restorePanels() {
  for (const { node } of everyNode()) node[PANEL]?.restore();
}

/** A node that runs again has its problem behind it. */
function clearProblem(execution) {
  for (const row of everyNode()) if (row.execution === String(execution)) row.node[PANEL]?.retry();
}

/** ComfyUI says in a panel of its own what went wrong with a node; this says it on the node. */
function showProblem({ node_id, node_type, exception_message }) {
  const message = (exception_message ?? "").trim();
  if (!message) return;
  for (const { node, execution } of everyNode()) {
    if (execution === String(node_id) && node.comfyClass === node_type) node[PANEL]?.fail(message);
  }
}

export function watchProblems() {
  api.addEventListener("execution_error", (event) => showProblem(event.detail));
  api.addEventListener("executing", (event) => clearProblem(event.detail));
}

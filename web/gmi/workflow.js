/** Puts a checkpoint into the workflow, and takes it out again. */
import { app } from "../../../scripts/app.js";
import { getRecipe } from "./api.js";
import { t } from "./strings.js";

const MUTED = 2;
const BYPASSED = 4;
const slashes = (name) => name.replaceAll("\\", "/");

/** The spelling of `name` in a list widget, or undefined. */
function listed(node, widget, name) {
  const values = typeof widget.options?.values === "function" ? widget.options.values(widget, node) : widget.options?.values;
  if (!Array.isArray(values)) return undefined;
  return values.find((value) => typeof value === "string" && slashes(value) === slashes(name));
}

/** Any node with a list of checkpoints counts, also those of other extensions; our own nodes choose by themselves. */
function slotOf(node, name) {
  if (node.type?.startsWith("GMI_")) return null;
  for (const widget of node.widgets ?? []) {
    if (!/ckpt|checkpoint|model/i.test(widget.name ?? "")) continue;
    const value = listed(node, widget, name);
    if (value === undefined) continue;
    const linked = node.inputs?.some((input, slot) => input.widget?.name === widget.name && node.isInputConnected(slot));
    return { node, widget, value, linked };
  }
  return null;
}

function slotsIn(nodes, name) {
  return [...nodes].map((node) => slotOf(node, name)).filter(Boolean);
}

/** @param {any} node @returns {string} its title with its number, which is what the canvas shows */
export const nodeName = (node) => `${node.title || node.type} (#${node.id})`;

/** Lets ComfyUI's own undo and "unsaved" mark notice a change. */
export function noteChange() {
  const tracker = app.extensionManager.workflow?.activeWorkflow?.changeTracker;
  if (tracker?.captureCanvasState) tracker.captureCanvasState();
  else tracker?.checkState?.(); // what it was called before
}

function changed() {
  app.graph.setDirtyCanvas(true, true);
  noteChange();
}

/** The nodes that are selected; newer front ends complain when they are asked for the older list. */
function selectedNodes() {
  const { canvas } = app;
  return new Set(canvas?.selectedItems ?? Object.values(canvas?.selected_nodes ?? {}));
}

/** The graph on screen, which may be inside a subgraph. */
const openGraph = () => app.canvas?.graph ?? app.graph;

/**
 * @typedef {{state: "set"|"already", node: any, undo?: () => string}
 *   | {state: "several", slots: {node: any, apply: () => Target}[]}
 *   | {state: "linked", node: any}
 *   | {state: "none", add: () => Target}} Target
 */

/** @returns {Target} */
function applyTo({ node, widget, value }) {
  const before = widget.value;
  if (before === value) return { state: "already", node };
  const set = (to) => {
    widget.value = to;
    widget.callback?.(to, app.canvas, node);
    changed();
  };
  set(value);
  return {
    state: "set",
    node,
    undo() {
      set(before);
      return t("use.undone", { node: nodeName(node), value: before || t("use.nothing") });
    },
  };
}

/** @returns {Target} */
function addLoader(name) {
  const graph = openGraph();
  const node = window.LiteGraph.createNode("CheckpointLoaderSimple");
  const area = app.canvas.visible_area ?? [0, 0, 0, 0];
  node.pos = [area[0] + area[2] / 2 - node.size[0] / 2, area[1] + area[3] / 2 - node.size[1] / 2];
  graph.add(node);
  const widget = node.widgets?.find((widget) => widget.name === "ckpt_name");
  if (!widget) {
    graph.remove(node);
    throw new Error(t("use.none"));
  }
  widget.value = listed(node, widget, name) ?? name;
  app.canvas.selectNode?.(node);
  changed();
  return {
    state: "set",
    node,
    undo() {
      graph.remove(node);
      changed();
      return t("use.removed");
    },
  };
}

/**
 * Sets the checkpoint of the selected loader node, or of the only one.
 * @param {string} name
 * @returns {Promise<Target>}
 */
export async function useCheckpoint(name) {
  const graph = openGraph();
  const find = () => slotsIn(graph.nodes ?? graph._nodes ?? [], name);
  let slots = find();
  if (slots.length === 0) {
    // The file may be newer than the lists in the page.
    await app.refreshComboInNodes?.();
    slots = find();
  }
  const selected = new Set([...selectedNodes()].map((item) => item.id));
  const chosen = slots.filter((slot) => selected.has(slot.node.id));
  if (chosen.length === 1) return chosen[0].linked ? { state: "linked", node: chosen[0].node } : applyTo(chosen[0]);

  const free = slots.filter((slot) => !slot.linked);
  const active = free.filter((slot) => slot.node.mode !== MUTED && slot.node.mode !== BYPASSED);
  const candidates = active.length > 0 ? active : free;
  if (candidates.length === 1) return applyTo(candidates[0]);
  if (candidates.length > 1) {
    return { state: "several", slots: candidates.map((slot) => ({ node: slot.node, apply: () => applyTo(slot) })) };
  }
  if (slots.length > 0) return { state: "linked", node: slots[0].node };
  return { state: "none", add: () => addLoader(name) };
}

/** Opens a recipe's workflow beside the current one. */
export async function openRecipe(name, title) {
  const { graph } = await getRecipe(name);
  await app.loadApiJson(graph, title);
}

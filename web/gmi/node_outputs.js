/**
 * What nodes have put out, found again when a node is made anew: on returning to a workflow's tab, by undo, and after
 * the page was loaded again. ComfyUI keeps outputs for the first two; for the last, this page's session does.
 */
import { app } from "../../../scripts/app.js";

const STORE = "FindBestModel.outputs";
const MOST = 40;
/** What older front ends call a graph that was made from an API prompt: its nodes could be anybody's. */
const NAMELESS = "00000000-0000-0000-0000-000000000000";

const rootOf = (graph) => graph?.rootGraph ?? app.rootGraph ?? app.graph;
const nodesOf = (graph) => graph?.nodes ?? graph?._nodes ?? [];

/**
 * Every node of the open workflow, with the ids of the subgraph nodes that lead to it; a subgraph that is used twice
 * comes twice.
 * @returns {Generator<{node: any, execution: string}>}
 */
export function* everyNode(graph = rootOf(app.graph), path = []) {
  for (const node of nodesOf(graph)) {
    const here = [...path, node.id];
    yield { node, execution: here.join(":") };
    if (node.subgraph) yield* everyNode(node.subgraph, here);
  }
}

/** Where ComfyUI keeps the output of a node: under its id, within a subgraph behind the subgraph's. */
function locatorOf(node) {
  const root = rootOf(node.graph);
  return !node.graph || node.graph === root || node.graph.id === root?.id ? String(node.id) : `${node.graph.id}:${node.id}`;
}

/** @returns {any} what ComfyUI has kept of a node's last run, or undefined */
export function keptOutput(node) {
  const outputs = app.nodeOutputs ?? {};
  const locator = locatorOf(node);
  if (outputs[locator] || !locator.includes(":")) return outputs[locator];
  // Older front ends bring outputs back under the path by which they were run.
  for (const other of everyNode()) {
    if (other.node.id === node.id && other.node.graph?.id === node.graph.id && outputs[other.execution]) return outputs[other.execution];
  }
  return undefined;
}

/** A graph without a name is known by what is in it: where the same is asked, the answer is the same. */
function contentOf(graph) {
  const saved = (node) => (node.widgets ?? []).filter(({ serialize }) => serialize !== false); // others come later
  const values = (node) => saved(node).map(({ value }) => (typeof value === "object" ? null : value));
  return JSON.stringify([...everyNode(graph)].map(({ node, execution }) => [execution, node.comfyClass, values(node)]));
}

/**
 * The first is the node's own; a graph may get its name later, so the last is looked under as well.
 * @returns {Generator<string>}
 */
function* keysOf(node) {
  const root = rootOf(node.graph);
  const within = `${locatorOf(node)}/${node.comfyClass}`;
  if (root?.id && root.id !== NAMELESS) yield `${root.id}/${within}`;
  yield `${contentOf(root)}/${within}`;
}

function read() {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(STORE) ?? "[]"));
  } catch {
    return new Map();
  }
}

/** @returns {{output?: any, problem?: string}} what was remembered of a node */
export function recall(node) {
  const entries = read();
  let own;
  for (const key of keysOf(node)) {
    own ??= key;
    if (!entries.has(key)) continue;
    const entry = entries.get(key);
    if (key !== own) remember(node, entry); // what is in the graph may change next
    return entry;
  }
  return {};
}

/** @param {{output?: any, problem?: string}} entry */
export function remember(node, entry) {
  const [key] = keysOf(node);
  const entries = read();
  entries.delete(key);
  entries.set(key, entry);
  try {
    sessionStorage.setItem(STORE, JSON.stringify([...entries].slice(-MOST)));
  } catch {
    // A browser without storage forgets it when the page is loaded again; ComfyUI's own memory is untouched.
  }
}

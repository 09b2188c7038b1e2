/** "Use in workflow" of a candidate, with what came of it and an Undo in the line below. */
import { button, fill, h, icon } from "./dom.js";
import { t } from "./strings.js";
import { nodeName, openRecipe, useCheckpoint } from "./workflow.js";

/** Long for the first candidate, short for the others. */
const LABELS = { checkpoint: ["use.button", "use.short"], recipe: ["use.open", "use.openShort"] };

/** Only the newest change can be taken back, or undoing would bring old values back out of order. */
let retire = () => {};

/**
 * @param {any} candidate
 * @param {{first?: boolean}} options
 * @returns {{action: HTMLElement|null, outcome: HTMLElement}}
 */
export function useButton(candidate, { first = false } = {}) {
  const outcome = h("div", { class: "gmi-outcome", role: "status" });
  if (!candidate.installed) return { action: null, outcome };

  const say = (name, text, ...actions) =>
    fill(outcome, h("p", { class: `gmi-outcome-${name}` }, icon(name === "done" ? "check" : "info-circle"), h("span", { text })), ...actions);

  const fail = (error) => say("info", error.message);

  function show(result) {
    retire();
    if (result.state === "already") return say("done", t("use.already", { node: nodeName(result.node) }));
    if (result.state === "linked") return say("info", t("use.linked", { node: nodeName(result.node) }));
    if (result.state === "none") {
      return say("info", t("use.none"), button(t("use.addNode"), () => show(result.add()), { small: true, icon: "plus" }));
    }
    if (result.state === "several") {
      const pick = result.slots.map(({ node, apply }) => button(nodeName(node), () => show(apply()), { small: true }));
      return say("info", t("use.several"), h("div", { class: "gmi-row" }, ...pick));
    }
    const undo = button(t("use.undo"), () => {
      retire = () => {};
      say("info", result.undo());
    }, { kind: "link" });
    retire = () => undo.remove();
    say("done", t("use.set", { node: nodeName(result.node) }), undo);
  }

  const recipe = candidate.kind === "recipe";
  const action = button(
    t(LABELS[recipe ? "recipe" : "checkpoint"][first ? 0 : 1]),
    async () => {
      action.disabled = true;
      try {
        if (recipe) {
          await openRecipe(candidate.name, candidate.title);
          say("done", t("use.opened"));
        } else show(await useCheckpoint(candidate.name));
      } catch (error) {
        fail(error);
      } finally {
        action.disabled = false;
      }
    },
    { kind: first ? "primary" : "plain", small: !first, icon: first ? (recipe ? "external-link" : "arrow-right") : undefined, title: t(LABELS[recipe ? "recipe" : "checkpoint"][0]) },
  );
  return { action, outcome };
}

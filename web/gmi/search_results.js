/** What a search found, as the nodes show it: hits as pictures, checkpoints as a ranking. */
import { breakable, chip, h, icon } from "./dom.js";
import { t } from "./strings.js";
import { thumb } from "./thumbs.js";

const title = (text) => h("span", { class: "gmi-title", title: text }, ...breakable(text));

const notes = (found) => found.notes.map((text) => h("p", { class: "gmi-note" }, icon("info-circle"), h("span", { text })));

const verdict = (found) => h("div", { class: "gmi-verdict" }, h("p", { text: found.verdict }));

/** All that a narrow picture has no room for. */
const facts = (name, hit) => [t("search.hit", { title: name, score: hit.score }), hit.seed !== null && t("search.seed", { seed: hit.seed })].filter(Boolean).join(" ");

function hitCard(hit) {
  const name = hit.title || t("search.unknown");
  // An image that does not say its checkpoint is nobody's in particular, so it cannot be gone.
  const gone = Boolean(hit.title) && !hit.installed;
  return h(
    "li",
    { class: `gmi-hit${hit.chosen ? " gmi-chosen" : ""}${gone ? " gmi-hit-gone" : ""}`, title: hit.chosen ? t("search.chosen") : null },
    h("span", { class: "gmi-hit-rank", text: hit.rank }),
    thumb(hit.image, hit.prompt || name),
    h("div", { class: "gmi-hit-title" }, title(name)),
    gone && chip(t("ranking.notInstalled"), "caution"),
    h("div", { class: "gmi-facts", title: facts(name, hit) }, h("span", { text: hit.seed === null ? "" : t("search.seed", { seed: hit.seed }) }), h("span", { class: "gmi-hit-score", text: hit.score })),
  );
}

/** @param {{verdict: string, notes: string[], hits: any[]}} found */
export function renderHits(found) {
  return h("div", { class: "gmi-found" }, verdict(found), ...notes(found), h("ol", { class: "gmi-hits", "aria-label": t("search.hits") }, ...found.hits.map(hitCard)));
}

function similarRow(candidate) {
  return h(
    "li",
    { class: `gmi-compact-row gmi-similar-row${candidate.chosen ? " gmi-chosen" : ""}` },
    h("div", { class: "gmi-compact-thumbs" }, ...candidate.evidence.slice(0, 3).map((sample) => thumb(sample.image, sample.prompt))),
    h(
      "div",
      { class: "gmi-card-body" },
      h("div", { class: "gmi-head" }, title(candidate.title), h("span", { class: "gmi-percent", text: candidate.score, title: t("search.score", { score: candidate.score }) })),
      candidate.parts.length > 1 && h("p", { class: "gmi-facts", text: candidate.parts.join(" · ") }),
    ),
  );
}

/** @param {{verdict: string, notes: string[], candidates: any[]}} found */
export function renderSimilar(found) {
  return h("div", { class: "gmi-found gmi-compact" }, verdict(found), ...notes(found), h("ol", { class: "gmi-cards", "aria-label": t("ranking.label") }, ...found.candidates.map(similarRow)));
}

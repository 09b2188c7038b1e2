/** A ranking as the backend answers it, drawn as cards; the sidebar and the nodes share it. */
import { breakable, button, chip, disclosure, fill, h, icon, notice, outsideLink } from "./dom.js";
import { architecture, percent } from "./format.js";
import { t, tn } from "./strings.js";
import { thumb } from "./thumbs.js";
import { useButton } from "./use_button.js";

const FEW_SAMPLES = 8;

/** Four digits: methods score on scales of their own, some far below one. */
const score = (candidate) => String(Number(candidate.score.toPrecision(4)));

function bar(candidate) {
  if (candidate.probability === null) return null;
  return h(
    "div",
    { class: "gmi-bar", role: "img", "aria-label": t("ranking.probability", { percent: percent(candidate.probability) }) },
    h("div", { class: "gmi-bar-fill", style: `width:${Math.max(1, candidate.probability * 100)}%` }),
  );
}

function number(candidate) {
  if (candidate.probability !== null) return h("span", { class: "gmi-percent", text: percent(candidate.probability) });
  return h("span", { class: "gmi-percent gmi-muted", text: score(candidate), title: t("ranking.score", { score: score(candidate) }) });
}

function chips(candidate) {
  return h(
    "div",
    { class: "gmi-chips" },
    candidate.kind === "recipe" && chip(t("ranking.recipe"), "accent"),
    candidate.architecture && chip(architecture(candidate.architecture)),
    !candidate.installed && chip(t("ranking.notInstalled"), "caution"),
    candidate.samples < FEW_SAMPLES && h("span", { class: "gmi-chip", title: t("ranking.samples", { samples: candidate.samples, of: candidate.of_samples }), text: t("ranking.few") }),
  );
}

/** "Nearly the same as …", from the ranking's groups; null for a candidate without siblings. */
function sameAs(candidate, ranking) {
  const group = candidate.group && ranking.near_duplicates?.[candidate.group - 1];
  const others = (group || null)?.titles.filter((title) => title !== candidate.title) ?? [];
  if (others.length === 0) return null;
  const titles = others.slice(0, 2).join(", ");
  const text = others.length > 2 ? tn("ranking.sameMore", others.length - 2, { titles }) : t("ranking.same", { titles });
  return h("p", { class: "gmi-same", title: others.join(", ") }, icon("clone"), h("span", { text }));
}

const evidence = (candidate) =>
  h(
    "div",
    { class: "gmi-evidence", "aria-label": t("ranking.evidence"), role: "group" },
    ...candidate.evidence.slice(0, 4).map((sample) => thumb(sample.image, sample.prompt)),
  );

const title = (candidate) => h("h3", { class: "gmi-title", title: candidate.name }, ...breakable(candidate.title));

const facts = (candidate) =>
  [t("ranking.samples", { samples: candidate.samples, of: candidate.of_samples }), t("ranking.score", { score: score(candidate) })].join(" · ");

function firstCard(candidate, ranking) {
  const { action, outcome } = useButton(candidate, { first: true });
  return h(
    "li",
    { class: "gmi-card gmi-card-first" },
    h("div", { class: "gmi-head" }, h("span", { class: "gmi-rank", text: candidate.rank, "aria-label": t("ranking.rank", { rank: candidate.rank }) }), title(candidate), number(candidate)),
    bar(candidate),
    evidence(candidate),
    h("div", { class: "gmi-foot" }, chips(candidate), h("span", { class: "gmi-facts", text: facts(candidate) })),
    sameAs(candidate, ranking),
    action,
    outcome,
  );
}

function otherCard(candidate, ranking) {
  const { action, outcome } = useButton(candidate);
  const more = h("div", { class: "gmi-more", hidden: true });
  const toggle = h(
    "button",
    {
      type: "button",
      class: "gmi-icon-button",
      "aria-expanded": "false",
      "aria-label": t("ranking.details", { title: candidate.title }),
      title: t("ranking.details", { title: candidate.title }),
      on: {
        click() {
          more.hidden = !more.hidden;
          toggle.setAttribute("aria-expanded", String(!more.hidden));
          if (!more.hidden && more.childElementCount === 0) {
            fill(more, evidence(candidate), h("p", { class: "gmi-facts", text: facts(candidate) }));
          }
        },
      },
    },
    icon("chevron-down"),
  );
  const [best] = candidate.evidence;
  return h(
    "li",
    { class: "gmi-card gmi-card-other" },
    best ? thumb(best.image, best.prompt, "gmi-thumb-side") : thumb(null, candidate.title, "gmi-thumb-side"),
    h(
      "div",
      { class: "gmi-card-body" },
      h("div", { class: "gmi-head" }, h("span", { class: "gmi-rank", text: candidate.rank, "aria-label": t("ranking.rank", { rank: candidate.rank }) }), title(candidate), number(candidate)),
      bar(candidate),
      h("div", { class: "gmi-foot" }, chips(candidate), h("div", { class: "gmi-actions" }, action, toggle)),
      sameAs(candidate, ranking),
    ),
    outcome,
    more,
  );
}

function verdict(ranking) {
  return h(
    "div",
    { class: `gmi-verdict${ranking.foreign ? " gmi-verdict-foreign" : ""}` },
    ranking.foreign && icon("exclamation-triangle"),
    ranking.locked && icon("lock"),
    h("p", { text: ranking.verdict }),
  );
}

/** What the files say themselves: before the ranking, never in its place. Equal sentences are said once. */
function madeWith(ranking, usable) {
  const said = new Map((ranking.made_with ?? []).map((row) => [row.sentence, row]));
  return [...said.values()].flatMap(({ sentence, installed }) => {
    const { action, outcome } = useButton({ kind: "checkpoint", name: installed, installed: usable && installed !== null });
    return [h("div", { class: "gmi-note gmi-made-with" }, icon("info-circle"), h("span", { text: sentence }), action), action && outcome];
  });
}

function cards(ranking) {
  const list = h("ol", { class: "gmi-cards", "aria-label": t("ranking.label") });
  ranking.candidates.forEach((candidate, index) => {
    list.append(index === 0 && !ranking.foreign ? firstCard(candidate, ranking) : otherCard(candidate, ranking));
    if (index + 1 === ranking.conformal && index + 1 < ranking.candidates.length && !ranking.foreign) {
      list.append(h("li", { class: "gmi-divider" }, h("span", { text: t("ranking.conformal") })));
    }
  });
  return list;
}

const source = ({ pack, author }) => [pack, author].filter(Boolean).join(" · ");

/** What only packs know and would fit better. Nothing is looked up: a link is made from the file's hash. */
function elsewhere(ranking) {
  const rows = ranking.elsewhere ?? [];
  if (rows.length === 0) return null;
  return h(
    "section",
    { class: "gmi-elsewhere" },
    h("h3", { text: t("ranking.elsewhere") }),
    h(
      "ul",
      {},
      ...rows.map((row) =>
        h(
          "li",
          {},
          h("span", { class: "gmi-title" }, ...breakable(row.title)),
          h("span", { class: "gmi-facts", text: source(row) }),
          outsideLink(t("ranking.lookFor"), row.page),
        ),
      ),
    ),
  );
}

function how(ranking) {
  const { prompt } = ranking;
  return disclosure(
    t("ranking.how"),
    h("p", { text: t("ranking.method", { method: ranking.method, reason: ranking.reason }) }),
    prompt?.text && h("p", { text: t(prompt.source === "user" ? "ranking.promptUser" : "ranking.promptLibrary", { text: prompt.text }) }),
    ...(ranking.excluded ?? []).map((entry) => h("p", { text: t("ranking.excluded", entry) })),
  );
}

/**
 * @param {any} ranking
 * @param {{onBuildMissing?: () => void}} [options]
 * @returns {HTMLElement}
 */
export function renderRanking(ranking, { onBuildMissing } = {}) {
  return h(
    "div",
    { class: "gmi-ranking" },
    ...madeWith(ranking, true),
    verdict(ranking),
    ...(ranking.notes ?? []).map((text) => h("p", { class: "gmi-note" }, icon("info-circle"), h("span", { text }))),
    ranking.candidates.length > 0 && cards(ranking),
    ranking.missing > 0 &&
      notice("info", tn("ranking.missing", ranking.missing), ...(onBuildMissing ? [button(t("ranking.build"), onBuildMissing, { kind: "link" })] : [])),
    elsewhere(ranking),
    how(ranking),
  );
}

/** The smaller form inside a node: thumbnails and names, nothing to press but the thumbnails. */
export function renderCompact(ranking) {
  return h(
    "div",
    { class: "gmi-ranking gmi-compact" },
    ...madeWith(ranking, false),
    verdict(ranking),
    ...(ranking.notes ?? []).map((text) => h("p", { class: "gmi-note" }, icon("info-circle"), h("span", { text }))),
    h(
      "ol",
      { class: "gmi-cards", "aria-label": t("ranking.label") },
      ...ranking.candidates.map((candidate) =>
        h(
          "li",
          { class: `gmi-compact-row${candidate.name === (ranking.loaded ?? ranking.chosen) ? " gmi-chosen" : ""}` },
          h("div", { class: "gmi-compact-thumbs" }, ...candidate.evidence.slice(0, 2).map((sample) => thumb(sample.image, sample.prompt))),
          h("div", { class: "gmi-card-body" }, h("div", { class: "gmi-head" }, title(candidate), number(candidate)), bar(candidate), sameAs(candidate, ranking)),
        ),
      ),
    ),
    ...(ranking.elsewhere ?? []).map((row) => h("p", { class: "gmi-note" }, icon("box"), h("span", { text: t("ranking.elsewhereLine", { title: row.title, source: source(row) }) }))),
  );
}

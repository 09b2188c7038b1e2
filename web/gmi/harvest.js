/** Images that already exist: what they say of their making, and specifications of them without generating. */
import { cancelHarvest, getHarvest, lookAtImages, lookOnce, startHarvest } from "./api.js";
import { breakable, button, disclosure, fill, h, notice, progressBar, setText } from "./dom.js";
import { reload, setHarvest, state, subscribe } from "./store.js";
import { t } from "./strings.js";

const PAUSE = 1000;

const busy = (harvest) => harvest?.state === "looking" || harvest?.state === "gathering";

function outcome(crop, built) {
  if (built.has(crop.title)) return t("harvest.built", { n: built.get(crop.title) });
  return crop.missing > 0 ? t("harvest.missing", { n: crop.missing }) : t("harvest.enough");
}

const cropLine = (crop, built) =>
  h(
    "li",
    { class: "gmi-crop" },
    h("span", { class: "gmi-title", title: crop.name }, ...breakable(crop.title)),
    h("span", { class: "gmi-crop-count", text: crop.images }),
    h("span", { class: "gmi-facts", text: outcome(crop, built) }),
  );

/** A fold of lines like "3 × too small", with their sum in its title. */
function counted(key, lines) {
  if (lines.length === 0) return null;
  const n = lines.reduce((sum, line) => sum + line.images, 0);
  return disclosure(t(key, { n }), ...lines.map(({ images, what }) => h("p", { text: t("harvest.line", { n: images, what }) })));
}

/** @returns {{element: HTMLElement, act: (action: () => Promise<any>) => Promise<void>}} */
export function harvestPanel() {
  let harvest = null;
  let drawn = null;
  let timer = null;

  const problem = h("div", { class: "gmi-slot" });
  const message = h("div", { class: "gmi-slot" });

  // These stay while what is found changes, so that focus stays on a button.
  const use = button(t("harvest.use"), () => act(() => startHarvest(lossy.checked)), { kind: "primary", icon: "images" });
  const lookFirst = button(t("harvest.look"), look, { icon: "search" });
  const lookAgain = button(t("harvest.again"), look, { icon: "search" });
  const lossy = h("input", { type: "checkbox", class: "gmi-check" });
  const what = h("p", { class: "gmi-hint", text: t("harvest.what") });
  const found = h("div", { class: "gmi-stack" });
  const folds = h("div", { class: "gmi-stack gmi-stack-tight" });
  const resting = h(
    "div",
    { class: "gmi-stack" },
    what,
    found,
    h("div", { class: "gmi-row" }, use, lookFirst, lookAgain),
    h("label", { class: "gmi-harvest-lossy" }, lossy, h("span", { class: "gmi-hint", text: t("harvest.lossy") })),
    folds,
  );

  const bar = progressBar(t("harvest.progress"));
  const doing = h("p", { class: "gmi-hint", role: "status" });
  const stop = button(t("harvest.stop"), () => act(cancelHarvest), { kind: "quiet" });
  const working = h("div", { class: "gmi-stack" }, doing, bar.element, h("div", { class: "gmi-row" }, stop));

  const element = h("div", { class: "gmi-panel gmi-harvest", hidden: true }, h("h2", { text: t("harvest.title") }), message, resting, working, problem);

  async function act(action) {
    fill(problem);
    clearTimeout(timer);
    timer = null;
    try {
      show(await action());
    } catch (error) {
      fill(problem, notice("error", error.message));
      follow();
    }
  }

  function look() {
    return act(() => lookAtImages(lossy.checked));
  }

  /** Asks again only while something goes on and the tab is open. */
  function follow() {
    if (timer !== null || !busy(harvest) || !element.isConnected) return;
    timer = setTimeout(async () => {
      timer = null;
      try {
        show(await getHarvest());
      } catch {
        follow(); // a moment without an answer; what goes on does so without the page
      }
    }, PAUSE);
  }

  function show(next) {
    const before = harvest;
    harvest = next;
    draw();
    setHarvest(next);
    follow();
    // The list shows what each checkpoint has: read it anew when one is done, and at the end.
    const ended = before?.state === "gathering" && next.state !== "gathering";
    if (ended || (before && before.built.length !== next.built.length)) reload();
  }

  function draw() {
    const key = JSON.stringify(harvest);
    if (key === drawn) return;
    drawn = key;
    element.hidden = false;
    fill(message, harvest.message && notice("info", harvest.message));
    resting.hidden = busy(harvest);
    working.hidden = !busy(harvest);
    if (busy(harvest)) drawWorking();
    else drawResting();
  }

  function drawWorking() {
    const { files, title, done, total } = harvest;
    const looking = harvest.state === "looking";
    setText(doing, looking ? t("harvest.looking", { n: files }) : t("harvest.gathering", { title: title ?? "", at: Math.min(done + 1, total), total }));
    bar.set(looking || total === 0 ? null : done / total);
  }

  function drawResting() {
    const ready = harvest.state === "ready";
    const built = new Map(harvest.built.map((row) => [row.title, row.images]));
    what.hidden = ready;
    lookFirst.hidden = ready;
    lookAgain.hidden = !ready;
    use.hidden = !ready || harvest.crops.every((crop) => crop.missing > 0 || built.has(crop.title));
    found.hidden = folds.hidden = !ready;
    if (!ready) return;
    fill(
      found,
      harvest.crops.length > 0
        ? h("ul", { class: "gmi-crops", "aria-label": t("harvest.found") }, ...harvest.crops.map((crop) => cropLine(crop, built)))
        : h("p", { text: t("harvest.nothing") }),
    );
    fill(
      folds,
      counted("harvest.leftOut", harvest.left_out),
      counted("harvest.foreign", harvest.foreign),
      harvest.silent > 0 && h("p", { class: "gmi-hint", text: t("harvest.silent", { n: harvest.silent }) }),
    );
  }

  let asking = false;
  /** Once, and whenever the tab comes back to something under way. */
  async function begin() {
    if (harvest) return follow();
    if (asking) return;
    asking = true;
    try {
      // With nothing specified yet, what the images say is worth knowing before anybody asks.
      const { first_run: first, checkpoints } = state.library ?? {};
      show(await (first && checkpoints.length > 0 ? lookOnce() : getHarvest()));
    } catch {
      // The list says that there is no answer; this comes with its next one.
    }
    asking = false;
  }

  subscribe((changed) => {
    if (changed === "library") begin();
  });
  return { element, act };
}

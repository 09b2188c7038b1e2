/** Starts a build, and shows, pauses and cancels the one under way. */
import { startBuild, steerBuild } from "./api.js";
import { button, choice, disclosure, fill, h, icon, notice, progressBar, setLabel, setText } from "./dom.js";
import { duration, planned, specified } from "./format.js";
import { loadFilters, saveFilters } from "./preferences.js";
import { setBuild, state } from "./store.js";
import { t, tn } from "./strings.js";
import { changeThumb, thumb } from "./thumbs.js";

/** "12 of 165 samples · about 8 minutes left" */
export function buildLine(build) {
  const count = t("build.count", build);
  if (build.state === "paused") return t("build.pausedAt", { count });
  const left = build.seconds_left === null ? t("build.leftUnknown") : t("build.left", { time: duration(build.seconds_left) });
  return `${count} · ${left}`;
}

export const buildShare = (build) => (build.total > 0 && (build.done > 0 || build.state === "paused") ? build.done / build.total : null);

/**
 * @param {{selected: Set<string>, clearSelection: () => void}} selection of the list below
 * @returns {{element: HTMLElement, update: () => void}}
 */
export function buildPanel({ selected, clearSelection }) {
  let limit = loadFilters().limit;
  const problem = h("div", { class: "gmi-slot" });

  async function guard(action) {
    fill(problem);
    try {
      setBuild(await action());
    } catch (error) {
      fill(problem, notice("error", error.message));
    }
  }

  // Nothing under way: what to make, and how long it will take.
  const passes = h("div", {});
  const estimate = h("p", { class: "gmi-hint gmi-estimate" });
  const start = button("", () => guard(async () => {
    const names = selected.size > 0 ? [...selected] : null;
    const build = await startBuild(names, limit);
    clearSelection();
    return build;
  }), { kind: "primary", icon: "play" });
  const unselect = button(t("build.clearSelection"), clearSelection, { kind: "quiet" });
  const report = h("div", { class: "gmi-slot" });
  const idle = h("div", { class: "gmi-stack" }, passes, estimate, h("div", { class: "gmi-row" }, start, unselect), report);

  // Under way: these elements stay, only their content changes, so that focus stays on a button.
  const bar = progressBar(t("build.progress"));
  const line = h("p", { class: "gmi-hint gmi-build-line" });
  let preview = null;
  const previewFrame = h("div", { class: "gmi-build-frame" }, icon("image"));
  const title = h("p", { class: "gmi-build-title" });
  const step = h("p", { class: "gmi-hint" });
  const prompt = h("p", { class: "gmi-build-prompt" });
  const pause = button("", () => guard(() => steerBuild(state.build.state === "paused" ? "resume" : "pause")), { kind: "plain" });
  const cancel = button(t("build.cancel"), () => guard(() => steerBuild("cancel")), { kind: "quiet", title: t("build.cancelTitle") });
  const running = h(
    "div",
    { class: "gmi-stack" },
    h("div", { class: "gmi-build-now" }, previewFrame, h("div", { class: "gmi-card-body" }, title, step, prompt)),
    h("div", { class: "gmi-stack gmi-stack-tight" }, bar.element, line),
    h("div", { class: "gmi-row" }, pause, cancel),
  );

  const have = h("p", { class: "gmi-hint" });
  const element = h(
    "div",
    { class: "gmi-panel" },
    h("div", { class: "gmi-panel-head" }, h("h2", { text: t("build.title") }), have),
    idle,
    running,
    problem,
  );

  let drawnPasses = null;
  function drawPasses(library) {
    const key = library.passes.join();
    if (key === drawnPasses) return;
    drawnPasses = key;
    if (!library.passes.includes(limit ?? library.prompts)) limit = library.passes[0];
    const choices = library.passes.map((n, index) => {
      const all = n >= library.prompts;
      const label = index === 0 ? t("build.quick", { n }) : all ? t("build.all", { n }) : String(n);
      return { value: all ? null : n, label, title: t(index === 0 ? "build.quickHint" : "build.passHint", { n }) };
    });
    fill(passes, choice({
      label: t("build.passes"),
      name: "gmi-pass",
      value: limit,
      choices,
      onChange(value) {
        limit = value;
        saveFilters({ limit });
        update();
      },
    }));
  }

  function drawIdle(library, build) {
    drawPasses(library);
    const byName = selected.size > 0;
    const { rows, samples } = planned(library.checkpoints.filter((row) => !byName || selected.has(row.name)), limit);
    setLabel(start, rows.length === 0 ? t("build.startNone") : tn(byName ? "build.startSelected" : "build.start", rows.length));
    start.disabled = samples === 0;
    unselect.hidden = !byName;
    const each = tn("build.each", limit ?? library.prompts);
    if (samples === 0) setText(estimate, t(byName ? "build.nothingSelected" : "build.nothing"));
    else if (library.seconds_per_sample === null) setText(estimate, t("build.estimateUnknown", { each, samples }));
    else setText(estimate, t("build.estimate", { each, samples, time: duration(samples * library.seconds_per_sample) }));
    drawReport(build);
  }

  let drawnReport = null;
  function drawReport(build) {
    const key = JSON.stringify([build.message, build.problems]);
    if (key === drawnReport) return;
    drawnReport = key;
    const problems = build.problems ?? [];
    fill(
      report,
      build.message && notice(build.failed ? "error" : problems.length > 0 ? "caution" : "done", build.message),
      problems.length > 0 &&
        disclosure(tn("build.problems", problems.length), ...problems.map((entry) => h("p", {}, h("strong", { text: entry.title }), ` ${entry.reason}`))),
    );
  }

  function drawPreview(path, text) {
    if (!path) {
      preview?.remove();
      preview = null;
    } else if (preview) changeThumb(preview, path, text);
    else previewFrame.append((preview = thumb(path, text, "gmi-thumb-build")));
  }

  function drawRunning(build) {
    const paused = build.state === "paused";
    const { current } = build;
    element.classList.toggle("gmi-paused", paused);
    setText(title, current?.title ?? t(paused ? "strip.paused" : "build.starting"));
    setText(step, current ? t("build.sampleOf", current) : "");
    setText(prompt, (paused && build.message) || build.waiting || current?.prompt || "");
    setText(line, buildLine(build));
    bar.set(buildShare(build));
    drawPreview(build.preview, current?.prompt ?? "");
    setLabel(pause, paused ? t("build.resume") : t("build.pause"));
  }

  function update() {
    const { library, build } = state;
    element.hidden = !library || !build;
    if (element.hidden) return;
    const busy = build.state !== "idle";
    idle.hidden = busy;
    running.hidden = !busy;
    const made = library.checkpoints.filter(specified).length;
    const all = library.checkpoints.filter((row) => row.state !== "unsupported").length;
    setText(have, all > 0 && made === all ? t("build.allReady") : t("build.have", { ready: made, all }));
    if (busy) drawRunning(build);
    else drawIdle(library, build);
  }

  return { element, update };
}

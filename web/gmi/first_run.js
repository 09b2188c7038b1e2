/** What is shown before there is any specification. */
import { cancelHarvest, lookAtImages, startBuild, startHarvest } from "./api.js";
import { button, fill, h, notice } from "./dom.js";
import { duration, planned } from "./format.js";
import { reload, setBuild } from "./store.js";
import { t, tn } from "./strings.js";

/** What the images say of the checkpoints: a line as long as that is not enough for any of them. */
function imagesLine(harvest, { showCheckpoints, actOnHarvest }) {
  const state = harvest?.state ?? "idle";
  if (state === "looking" || state === "gathering") {
    return [t("first.looking"), button(t("harvest.stop"), () => actOnHarvest(cancelHarvest), { kind: "link" })];
  }
  if (state === "ready") return [t("first.notEnough"), button(t("first.showImages"), () => showCheckpoints(), { kind: "link" })];
  const look = () => {
    showCheckpoints();
    actOnHarvest(() => lookAtImages(false));
  };
  return [t("first.images"), button(t("first.look"), look, { kind: "link" })];
}

/**
 * @param {any} library
 * @param {any} build
 * @param {any} harvest
 * @param {{showCheckpoints: () => void, actOnHarvest: (action: () => Promise<any>) => Promise<void>}} shell
 */
export function welcome(library, build, harvest, shell) {
  const { showCheckpoints, actOnHarvest } = shell;
  const quick = library.passes[0];
  const { rows, samples } = planned(library.checkpoints, quick);
  if (library.checkpoints.length === 0) return notice("info", t("first.none"));
  if (rows.length === 0) return notice("info", t("first.unsupported"), button(t("first.why"), () => showCheckpoints(), { small: true }));

  const pace = library.seconds_per_sample;
  const problem = h("div", { class: "gmi-slot" });
  const enough = new Set((harvest?.crops ?? []).filter((crop) => crop.missing === 0).map((crop) => crop.name));

  /** Starts something and shows it; what went wrong is said here. */
  const starter = (label, icon, kind, action) => {
    const element = button(label, async () => {
      element.disabled = true;
      try {
        await action();
        showCheckpoints();
      } catch (error) {
        fill(problem, notice("error", error.message));
        element.disabled = false;
      }
    }, { kind, icon });
    return element;
  };

  function fromImages() {
    const rest = planned(library.checkpoints.filter((row) => !enough.has(row.name)), quick);
    const able = library.checkpoints.filter((row) => row.state !== "unsupported").length;
    const time = pace === null ? t("first.restUnknown", { samples: rest.samples }) : t("first.rest", { samples: rest.samples, time: duration(rest.samples * pace) });
    const use = starter(t(rest.samples > 0 ? "first.useAndBuild" : "harvest.use"), "images", "primary", async () => {
      await actOnHarvest(() => startHarvest(false, rest.samples > 0 ? quick : null));
      await reload();
    });
    return h(
      "div",
      { class: "gmi-stack gmi-first-images" },
      h("p", {}, h("strong", { text: tn("first.enough", enough.size, { all: able }) })),
      rest.samples > 0 && h("p", { class: "gmi-muted", text: time }),
      h("div", { class: "gmi-row" }, use),
    );
  }

  const values = { samples, checkpoints: rows.length, time: pace === null ? "" : duration(samples * pace) };
  const start = starter(t("first.start"), "bolt", enough.size > 0 ? "plain" : "primary", async () => setBuild(await startBuild(null, quick)));
  const idle = !build || build.state === "idle";
  return h(
    "div",
    { class: "gmi-welcome" },
    h("h2", { text: t("first.title") }),
    h("p", { text: t("first.what") }),
    idle && enough.size > 0 && fromImages(),
    h("p", { class: "gmi-muted", text: t(pace === null ? "first.timeUnknown" : "first.time", values) }),
    idle && h("div", { class: "gmi-row" }, start, button(t("first.choose"), () => showCheckpoints(), { kind: "quiet" })),
    enough.size === 0 && h("p", { class: "gmi-hint", role: "status" }, ...imagesLine(harvest, shell).flatMap((part) => [part, " "])),
    problem,
  );
}

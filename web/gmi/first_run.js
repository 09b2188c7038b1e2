/** What is shown before there is any specification. */
import { startBuild } from "./api.js";
import { button, fill, h, notice } from "./dom.js";
import { duration, planned } from "./format.js";
import { setBuild } from "./store.js";
import { t } from "./strings.js";

/**
 * @param {any} library
 * @param {any} build
 * @param {{showCheckpoints: () => void, lookAtImages: () => void}} shell
 */
export function welcome(library, build, { showCheckpoints, lookAtImages }) {
  const quick = library.passes[0];
  const { rows, samples } = planned(library.checkpoints, quick);
  if (library.checkpoints.length === 0) return notice("info", t("first.none"));
  if (rows.length === 0) return notice("info", t("first.unsupported"), button(t("first.why"), () => showCheckpoints(), { small: true }));

  const known = library.seconds_per_sample !== null;
  const values = { samples, checkpoints: rows.length, time: known ? duration(samples * library.seconds_per_sample) : "" };
  const problem = h("div", { class: "gmi-slot" });
  const start = button(
    t("first.start"),
    async () => {
      start.disabled = true;
      try {
        setBuild(await startBuild(null, quick));
        showCheckpoints();
      } catch (error) {
        fill(problem, notice("error", error.message));
        start.disabled = false;
      }
    },
    { kind: "primary", icon: "bolt" },
  );
  const idle = !build || build.state === "idle";
  return h(
    "div",
    { class: "gmi-welcome" },
    h("h2", { text: t("first.title") }),
    h("p", { text: t("first.what") }),
    h("p", { class: "gmi-muted", text: t(known ? "first.time" : "first.timeUnknown", values) }),
    idle && h("div", { class: "gmi-row" }, start, button(t("first.choose"), () => showCheckpoints(), { kind: "quiet" })),
    h("p", { class: "gmi-hint" }, `${t("first.images")} `, button(t("first.look"), lookAtImages, { kind: "link" })),
    problem,
  );
}

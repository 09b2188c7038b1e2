/** Numbers as people read them. */
import { t, tn } from "./strings.js";

/** @param {number} bytes */
export function bytes(bytes) {
  if (!bytes) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  const value = bytes / 1000 ** step;
  return `${value >= 100 || step < 2 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}

/** A share as a percentage; small ones are not rounded to a confident zero. */
export function percent(share) {
  if (share > 0 && share < 0.01) return "<1%";
  if (share > 0.99 && share < 1) return ">99%";
  return `${Math.round(share * 100)}%`;
}

/** A time to wait, in words and roundly: nobody needs seconds of an hour. */
export function duration(seconds) {
  if (seconds < 50) return tn("time.seconds", Math.max(5, Math.round(seconds / 5) * 5));
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return tn("time.minutes", Math.max(1, minutes));
  const hours = Math.floor(minutes / 60);
  const rest = Math.round((minutes % 60) / 10) * 10;
  if (rest === 60) return tn("time.hours", hours + 1);
  return rest && hours < 10 ? t("time.hoursMinutes", { hours, minutes: rest }) : tn("time.hours", hours);
}

/** @param {number} timestamp seconds since 1970 */
export const date = (timestamp) =>
  new Date(timestamp * 1000).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });

const ARCHITECTURES = {
  sd1: "SD 1.5", sd2: "SD 2", sdxl: "SDXL", sd3: "SD 3", flux: "Flux", flux2: "Flux 2", chroma: "Chroma",
  auraflow: "AuraFlow", pixart: "PixArt", lumina2: "Lumina 2", "z-image": "Z-Image", "hunyuan-dit": "Hunyuan DiT",
  "hunyuan-image": "Hunyuan Image", hidream: "HiDream", omnigen2: "OmniGen 2", "qwen-image": "Qwen Image",
  "cosmos-predict2": "Cosmos Predict 2", "stable-cascade": "Stable Cascade", workflow: "Workflow",
};

/** @param {string|null} key */
export const architecture = (key) => (key ? ARCHITECTURES[key] ?? key : t("architecture.unknown"));

/**
 * Whether a build makes samples of it. One that failed is tried again; a suspect one needs its
 * specification removed first.
 */
export const buildable = (row) => row.kind === "checkpoint" && row.state !== "unsupported" && row.state !== "suspect";

/** Whether there is something of it to rank by, or was before it turned out to be suspect. */
export const specified = (row) => ["imported", "harvested", "quick", "ready", "outdated", "suspect"].includes(row.state);

/** How many samples a build makes of a checkpoint up to `limit` (null: all prompts), as the back end counts. */
export const lacks = (row, limit) => row.missing?.[String(Math.min(limit ?? row.of, row.of))] ?? 0;

/**
 * What a build would make samples of, as the backend plans it.
 * @param {any[]} checkpoints
 * @param {number|null} limit
 */
export function planned(checkpoints, limit) {
  const rows = checkpoints.filter((row) => buildable(row) && lacks(row, limit) > 0);
  return { rows, samples: rows.reduce((sum, row) => sum + lacks(row, limit), 0) };
}

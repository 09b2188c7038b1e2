/** ComfyUI settings, and the filters that are remembered in the browser. */
import { app } from "../../../scripts/app.js";

const BLUR = "FindBestModel.BlurThumbnails";
/** These are read by lib_gmi/comfyui/preferences.py. */
const IDLE = "FindBestModel.IdleMinutes";
const REMOVED_DAYS = "FindBestModel.RemovedDays";
const REMOVED_MB = "FindBestModel.RemovedMegabytes";
const ALLOWED = "FindBestModel.AllowedHosts";
const FILTERS = "FindBestModel.filters";

const setBlur = (on) => document.documentElement.classList.toggle("gmi-blur", on !== false);

/** For registerExtension({settings}). ComfyUI translates them from locales/<language>/settings.json. */
export const preferences = [
  {
    id: BLUR,
    category: ["Find Best Model", "Thumbnails", "Blur"],
    name: "Find Best Model: blur sample thumbnails",
    tooltip: "Samples show whatever your checkpoints make. Point at an image or click it to see it clearly.",
    type: "boolean",
    defaultValue: true,
    onChange: setBlur,
  },
  {
    id: IDLE,
    category: ["Find Best Model", "Builds", "Idle"],
    name: "Find Best Model: minutes without a generation before a build goes on",
    tooltip: "How long nobody has to have generated anything before a build goes on. 0: a build only lets you go first. The environment variable GMI_IDLE_MINUTES comes before this setting.",
    type: "number",
    defaultValue: 3,
    attrs: { min: 0, max: 1440 },
  },
  {
    id: REMOVED_DAYS,
    category: ["Find Best Model", "Library", "Days"],
    name: "Find Best Model: days that removed specifications are kept",
    tooltip: "In the library's folders removed and damaged. 0: for ever.",
    type: "number",
    defaultValue: 90,
    attrs: { min: 0, max: 36500 },
  },
  {
    id: REMOVED_MB,
    category: ["Find Best Model", "Library", "Megabytes"],
    name: "Find Best Model: limit of what was removed, in megabytes",
    tooltip: "What was removed first goes first. 0: no limit.",
    type: "number",
    defaultValue: 500,
    attrs: { min: 0, max: 1000000 },
  },
  {
    id: ALLOWED,
    category: ["Find Best Model", "Server", "Hosts"],
    name: "Find Best Model: allowed hosts",
    tooltip: "Names of a proxy or tunnel in front of ComfyUI, separated by commas. Takes effect after a restart.",
    type: "text",
    defaultValue: "",
  },
];

export const applyBlur = () => setBlur(app.extensionManager.setting.get(BLUR));

/** @returns {{architecture: string, pattern: string, limit: number|null}} */
export function loadFilters() {
  const defaults = { architecture: "any", pattern: "", limit: 4 };
  try {
    return { ...defaults, ...JSON.parse(localStorage.getItem(FILTERS) ?? "{}") };
  } catch {
    return defaults;
  }
}

/** @param {Partial<ReturnType<typeof loadFilters>>} change */
export function saveFilters(change) {
  try {
    localStorage.setItem(FILTERS, JSON.stringify({ ...loadFilters(), ...change }));
  } catch {
    // A browser without storage forgets the filters; everything else works.
  }
}

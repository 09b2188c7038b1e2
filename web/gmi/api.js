/** The backend's routes under /gmi/v1, as functions. Every one throws an Error with a sentence for people. */
import { api } from "../../../scripts/api.js";
import { t } from "./strings.js";

async function call(path, body) {
  let response;
  try {
    response = await api.fetchApi(`/gmi/v1/${path}`, body === undefined ? {} : {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error(t("error.offline"));
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  throw new Error(answer?.error ?? t("error.status", { status: response.status }));
}

export const getLibrary = () => call("library");

/** @param {{images: string[], prompt?: string, top?: number, architecture?: string, pattern?: string}} question */
export const rank = (question) => call("rank", { method: "auto", top: 12, ...question });

/**
 * @param {string[]|null} names null: every supported checkpoint that lacks samples
 * @param {number|null} limit null: all prompts
 * @param {string} pattern instead of names: those that it matches
 */
export const startBuild = (names, limit, pattern = "") => call("build", { names, limit, pattern });

/** @param {"pause"|"resume"|"cancel"} action */
export const steerBuild = (action) => call(`build/${action}`, {});

export const getHarvest = () => call("harvest");

/** Reads what the images in ComfyUI's folders say; builds nothing. @param {boolean} lossy JPEGs as well */
export const lookAtImages = (lossy) => call("harvest/look", { lossy });

/** The same, unless somebody has looked since ComfyUI was started. */
export const lookOnce = () => call("harvest/look", { once: true });

/** Builds specifications of all that have enough images; with `rest`, generates so many samples of the others. */
export const startHarvest = (lossy, rest = null) => call("harvest/start", { names: null, lossy, rest });

export const cancelHarvest = () => call("harvest/cancel", {});

/** @param {Record<string, any>|null} settings null: back to the preset */
export const saveSettings = (name, settings) => call("settings", { name, settings });

/** @param {boolean} gone of checkpoints that are not installed any more */
export const removeSpecifications = (names, gone = false) => call("remove", { names, gone });

export const getPacks = () => call("packs");

/** @param {string} data a data URL of the file */
export const importPack = (data) => call("packs/import", { data });

/** @param {string} name its id or title */
export const removePack = (name) => call("packs/remove", { name });

/** Has three images of a checkpoint queued, to be compared with what a pack says of it. */
export const checkPack = (name) => call("packs/check", { name });

export const getRecipe = (name) => call(`recipe?name=${encodeURIComponent(name)}`);

/** The address of a sample image, whatever path prefix ComfyUI is served under. */
export const imageUrl = (path) => api.apiURL(path);

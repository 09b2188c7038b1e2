/** What every view looks at: the library and the running build. */
import { api } from "../../../scripts/api.js";
import { getLibrary, getPacks } from "./api.js";

/** @type {{library: any|null, build: any|null, harvest: any|null, packs: any|null, error: string|null}} */
export const state = { library: null, build: null, harvest: null, packs: null, error: null };

const listeners = new Set();
let loading = null;
let again = false;

/**
 * @param {(what: "library"|"build"|"harvest"|"packs") => void} listener
 * @returns {() => void} stops listening
 */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(what) {
  for (const listener of [...listeners]) listener(what);
}

/** Reads the library anew; calls while one is under way share it, and lead to one more at its end. */
export function reload() {
  if (loading) {
    again = true;
    return loading;
  }
  loading = getLibrary()
    .then((library) => {
      state.library = library;
      state.build = library.build;
      state.error = null;
    })
    .catch((error) => {
      state.error = error.message;
    })
    .then(() => {
      loading = null;
      tell("library");
      if (again) {
        again = false;
        return reload();
      }
    });
  return loading;
}

/** @param {any} build what the build routes answer */
export function setBuild(build) {
  const before = state.build;
  state.build = build;
  tell("build");
  // The list shows what each job has added: read it anew when one ends, and at the end of the build.
  const next = before?.current?.name !== build.current?.name;
  const ended = before && before.state !== build.state;
  if ((next || ended) && listeners.size > 0) reload();
}

/** @param {any} harvest what the harvest's routes answer */
export function setHarvest(harvest) {
  state.harvest = harvest;
  tell("harvest");
}

/** Reads the packs and the spot checks of them; without an answer the old ones stay. */
export async function reloadPacks() {
  try {
    state.packs = await getPacks();
  } catch {
    // The list says that ComfyUI does not answer.
  }
  tell("packs");
}

/** A checkpoint's row as the settings route answers it. */
export function setCheckpoint(row) {
  const rows = state.library?.checkpoints ?? [];
  const index = rows.findIndex((other) => other.name === row.name);
  if (index >= 0) rows[index] = row;
  tell("library");
}

export function connectStore() {
  api.addEventListener("gmi.build", (event) => setBuild(event.detail));
  api.addEventListener("gmi.library", () => {
    // Without a view nobody needs the list; the next one that opens reads it.
    if (listeners.size > 0) reload();
  });
  api.addEventListener("gmi.check", () => {
    if (listeners.size > 0) reloadPacks();
  });
  // A build goes on without the page: after a lost connection its state is asked for, not guessed.
  api.addEventListener("reconnected", () => {
    if (listeners.size > 0) reload();
  });
}

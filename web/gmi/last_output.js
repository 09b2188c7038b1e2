/** The newest image output of this session: from the events of running workflows, else from the history. */
import { api } from "../../../scripts/api.js";

/** @type {{filename: string, subfolder?: string, type?: string}[]} */
let newest = [];
/** Previews land in the temp folder; they count only while nothing was saved. */
let newestIsTemporary = true;

const isImage = (file) => /\.(png|jpe?g|webp|bmp|gif|avif)$/i.test(file?.filename ?? "");

function take(files) {
  const images = (files ?? []).filter((file) => isImage(file) && file.type !== "input");
  if (images.length === 0) return;
  const temporary = images.every((file) => file.type === "temp");
  if (temporary && !newestIsTemporary) return;
  newest = images;
  newestIsTemporary = temporary;
}

export function watchOutputs() {
  api.addEventListener("execution_start", () => {
    // Within a run a saved image beats a preview; a newer run beats an older one either way.
    newestIsTemporary = true;
  });
  api.addEventListener("executed", (event) => take(event.detail?.output?.images));
}

async function fromHistory() {
  const response = await api.fetchApi("/history?max_items=100");
  // Builds are runs too, so the newest image may lie far back.
  const runs = Object.values(await response.json());
  // Neither order is promised, so the newest is found by the number each run was queued with.
  runs.sort((a, b) => (b.prompt?.[0] ?? 0) - (a.prompt?.[0] ?? 0));
  for (const run of runs) {
    newestIsTemporary = true;
    for (const output of Object.values(run.outputs ?? {})) take(output.images);
    if (newest.length > 0) return;
  }
}

/** @returns {Promise<File[]>} the images of the newest output, at most `limit`; empty when there is none */
export async function lastOutput(limit) {
  if (newest.length === 0) await fromHistory();
  return Promise.all(
    newest.slice(0, limit).map(async (file) => {
      const query = new URLSearchParams({
        filename: file.filename,
        subfolder: file.subfolder ?? "",
        type: file.type ?? "output",
      });
      const response = await api.fetchApi(`/view?${query}`);
      if (!response.ok) throw new Error(`${file.filename}: ${response.status}`);
      const blob = await response.blob();
      return new File([blob], file.filename, { type: blob.type });
    }),
  );
}

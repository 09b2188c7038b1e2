/** From whatever was dropped, pasted or picked to images as data URLs, with their bytes unchanged. */
import { t } from "./strings.js";

export const MOST_IMAGES = 8;

/** @typedef {{name: string, url: string}} QueryImage */

/**
 * The bytes are sent as they are: scaling or recompressing removes what tells checkpoints apart.
 * @param {File} file
 * @returns {Promise<QueryImage>}
 */
export async function readImage(file) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(t("error.notImage", { name: file.name })));
    reader.readAsDataURL(file);
  });
  const probe = new Image();
  probe.src = url;
  try {
    await probe.decode();
  } catch {
    throw new Error(t("error.notImage", { name: file.name }));
  }
  return { name: file.name, url };
}

/** Image files of a drop or paste. */
export const imageFiles = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));

/**
 * Files of a drop; an image dragged out of a page (ComfyUI's queue, say) comes as an address instead.
 * The addresses must be read from the event before anything is awaited.
 * @param {DataTransfer} transfer
 * @returns {Promise<File[]>}
 */
export async function droppedFiles(transfer) {
  const files = imageFiles(transfer);
  if (files.length > 0) return files;
  if (transfer.files.length > 0) throw new Error(t("error.notImage", { name: transfer.files[0].name }));
  const address = transfer.getData("text/uri-list").split("\n").find((line) => line && !line.startsWith("#"));
  if (!address) throw new Error(t("error.noImages"));
  let blob;
  try {
    blob = await (await fetch(address)).blob();
  } catch {
    throw new Error(t("error.remote"));
  }
  if (!blob.type.startsWith("image/")) throw new Error(t("error.noImages"));
  const name = new URL(address, location.href).searchParams.get("filename") ?? address.split("/").pop();
  return [new File([blob], name, { type: blob.type })];
}

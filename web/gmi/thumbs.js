/** Sample thumbnails: blurred until pointed at or pressed (the style sheet does the blurring). */
import { imageUrl } from "./api.js";
import { h, icon } from "./dom.js";
import { t } from "./strings.js";

/**
 * @param {string|null} path as the backend names it; null when no image was kept
 * @param {string} prompt what the sample shows
 * @param {string} [size] a class that sets the size
 */
export function thumb(path, prompt, size = "") {
  if (!path) {
    return h("div", { class: `gmi-thumb gmi-thumb-none ${size}`, title: t("thumb.none", { prompt }) }, icon("image"));
  }
  const image = h("img", { src: imageUrl(path), alt: "", loading: "lazy", decoding: "async" });
  const element = h(
    "button",
    {
      type: "button",
      class: `gmi-thumb ${size}`,
      title: prompt,
      "aria-label": t("thumb.show", { prompt }),
      "aria-pressed": "false",
      on: {
        click(event) {
          event.stopPropagation();
          const shown = element.classList.toggle("gmi-thumb-shown");
          element.setAttribute("aria-pressed", String(shown));
        },
      },
    },
    image,
  );
  image.addEventListener("error", () => {
    element.classList.add("gmi-thumb-none");
    element.replaceChildren(icon("image"));
  });
  return element;
}

/** Shows another image in a thumbnail that stays in place */
export function changeThumb(element, path, prompt) {
  const image = element.querySelector("img");
  const address = imageUrl(path);
  element.title = prompt;
  element.setAttribute("aria-label", t("thumb.show", { prompt }));
  if (!image || image.dataset.next === address) return;
  image.dataset.next = address;
  // Swapped in once it is there, or the thumbnail would go empty between two samples.
  const next = new Image();
  next.onload = () => {
    if (image.dataset.next === address) image.src = address;
  };
  next.src = address;
}

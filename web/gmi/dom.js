/** Small helpers that build DOM without a framework; text always goes in as text, never as HTML. */

/**
 * Makes an element. `class`, `text`, `data` (an object for dataset) and `on` (listeners by event) are
 * special; a property of the element is set as a property, everything else as an attribute; null,
 * undefined and false are left out.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (!name.includes("-") && name in element && name !== "list" && name !== "role" && name !== "spellcheck") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replaces what is inside an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** @param {string} name of a PrimeIcon, which ComfyUI ships */
export const icon = (name) => h("i", { class: `pi pi-${name} gmi-icon`, "aria-hidden": "true" });

/**
 * @param {string} label
 * @param {() => void} onClick
 * @param {{icon?: string, kind?: "primary"|"plain"|"quiet"|"danger"|"link", title?: string, small?: boolean}} [options]
 */
export function button(label, onClick, options = {}) {
  const kind = options.kind ?? "plain";
  return h(
    "button",
    {
      type: "button",
      class: `gmi-button gmi-button-${kind}${options.small ? " gmi-button-small" : ""}`,
      title: options.title,
      on: { click: onClick },
    },
    options.icon && icon(options.icon),
    h("span", { class: "gmi-label", text: label }),
  );
}

/** A button that is only an icon; its name is read out and shown as the tooltip. */
export function iconButton(name, label, onClick) {
  return h(
    "button",
    { type: "button", class: "gmi-icon-button", title: label, "aria-label": label, on: { click: onClick } },
    icon(name),
  );
}

/**
 * A link that only a click opens, in a window that learns nothing of this one; null for addresses of any other kind
 * than http and https.
 */
export function outsideLink(label, address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return null;
  return h("a", { class: "gmi-link", href: url.href, target: "_blank", rel: "noopener noreferrer", title: url.href, text: label });
}

/** Changes the text of a button made by `button`. */
export function setLabel(element, label) {
  const span = element.querySelector(".gmi-label");
  if (span.textContent !== label) span.textContent = label;
}

/** Sets text only when it differs, so that selections and screen readers are left in peace. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A file's name that may break after its separators, so that it does not break within a word. */
export const breakable = (name) => name.split(/(?<=[_\-./\\ ])/).flatMap((part, index) => (index > 0 ? [document.createElement("wbr"), part] : [part]));

export const chip = (text, kind = "plain") => h("span", { class: `gmi-chip gmi-chip-${kind}`, text });

/**
 * A row of choices of which one is taken (radio buttons underneath, so arrow keys work).
 * @param {{label: string, name: string, choices: {value: any, label: string, title?: string}[], value: any,
 *          onChange: (value: any) => void, kind?: "segments"|"chips"}} options
 */
export function choice({ label, name, choices, value, onChange, kind = "segments" }) {
  const group = `${name}-${Math.random().toString(36).slice(2, 8)}`;
  return h(
    "div",
    { class: `gmi-choice gmi-choice-${kind}`, role: "radiogroup", "aria-label": label },
    ...choices.map((entry) =>
      h(
        "label",
        { class: "gmi-choice-entry", title: entry.title },
        h("input", {
          type: "radio",
          name: group,
          checked: entry.value === value,
          on: { change: () => onChange(entry.value) },
        }),
        h("span", { text: entry.label }),
      ),
    ),
  );
}

/** @returns {{element: HTMLElement, set: (share: number|null) => void}} a bar; null means "busy" */
export function progressBar(label) {
  const fillElement = h("div", { class: "gmi-bar-fill" });
  const element = h(
    "div",
    { class: "gmi-bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" },
    fillElement,
  );
  return {
    element,
    set(share) {
      element.classList.toggle("gmi-bar-busy", share === null);
      if (share === null) return element.removeAttribute("aria-valuenow");
      const percent = Math.round(Math.min(Math.max(share, 0), 1) * 1000) / 10;
      fillElement.style.width = `${percent}%`;
      element.setAttribute("aria-valuenow", String(percent));
    },
  };
}

/** A calm box for what went wrong or needs care. */
export function notice(kind, text, ...actions) {
  const names = { error: "times-circle", caution: "exclamation-triangle", info: "info-circle", done: "check-circle" };
  return h(
    "div",
    { class: `gmi-notice gmi-notice-${kind}`, role: kind === "error" ? "alert" : "status" },
    icon(names[kind]),
    h("div", { class: "gmi-notice-body" }, h("p", { text }), actions.length > 0 && h("div", { class: "gmi-row" }, ...actions)),
  );
}

/** A section that opens and closes, from the browser's own element (keyboard and search work). */
export function disclosure(summary, ...children) {
  return h(
    "details",
    { class: "gmi-disclosure" },
    h("summary", {}, icon("chevron-right"), h("span", { text: summary })),
    h("div", { class: "gmi-disclosure-body" }, ...children),
  );
}

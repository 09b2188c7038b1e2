/** The settings a checkpoint's samples are made with. */
import { saveSettings } from "./api.js";
import { button, h, setText } from "./dom.js";
import { setCheckpoint } from "./store.js";
import { t } from "./strings.js";

const NUMBERS = {
  width: { min: 64, max: 2048, step: 8 },
  height: { min: 64, max: 2048, step: 8 },
  steps: { min: 1, max: 150, step: 1 },
  cfg: { min: 0, max: 30, step: 0.1 },
  clip_skip: { min: 1, max: 12, step: 1 },
};

const MAY_BE_EMPTY = ["prefix", "negative"];

const field = (name, input, hint) =>
  h("label", { class: `gmi-field gmi-field-${name}`, title: hint }, h("span", { class: "gmi-field-name", text: t(`settings.${name}`) }), input);

/**
 * @param {any} row a checkpoint
 * @param {any} library
 * @param {() => void} close
 * @returns {HTMLElement}
 */
export function settingsForm(row, library, close) {
  let current = row;
  const inputs = {};
  // ComfyUI's shortcuts must not fire while somebody types.
  const on = { keydown: (event) => event.stopPropagation() };

  const number = (name) => (inputs[name] = h("input", { type: "number", class: "gmi-input", ...NUMBERS[name], on }));
  const text = (name) => (inputs[name] = h("input", { type: "text", class: "gmi-input", spellcheck: "false", on }));
  const area = (name) => (inputs[name] = h("textarea", { class: "gmi-input", rows: 2, spellcheck: "false", on }));
  const select = (name, values) => {
    // A value that is no longer offered stays visible instead of silently becoming another one.
    const all = values.includes(row.settings[name]) ? values : [row.settings[name] ?? "", ...values];
    return (inputs[name] = h("select", { class: "gmi-input" }, ...all.map((value) => h("option", { value, text: value }))));
  };

  const show = (settings) => {
    for (const [name, input] of Object.entries(inputs)) input.value = settings[name] ?? "";
  };

  const status = h("p", { class: "gmi-hint", role: "status" });
  const save = h("button", { type: "submit", class: "gmi-button gmi-button-primary" }, h("span", { class: "gmi-label", text: t("settings.save") }));
  const preset = button(t("settings.preset"), () => send(null), { kind: "plain" });

  /**
   * What was sent replaces what was sent before. So an edited checkpoint gets everything again; one
   * with its preset only what differs, to keep following the preset with the rest. An emptied field is
   * left out, which means the preset's value.
   */
  function changes() {
    const settings = current.edited && current.settings.vae ? { vae: current.settings.vae } : {};
    for (const [name, input] of Object.entries(inputs)) {
      const value = name in NUMBERS ? input.valueAsNumber : input.value;
      const empty = Number.isNaN(value) || (value === "" && !MAY_BE_EMPTY.includes(name));
      if (!empty && (current.edited || value !== (current.settings[name] ?? ""))) settings[name] = value;
    }
    return settings;
  }

  async function send(settings) {
    save.disabled = preset.disabled = true;
    status.classList.remove("gmi-error-text");
    try {
      const saved = await saveSettings(row.name, settings);
      if (saved.settings) show(saved.settings);
      current = saved;
      setCheckpoint(saved);
      setText(status, settings === null ? t("settings.presetDone") : saved.samples > 0 ? t("settings.savedAnew") : t("settings.saved"));
      preset.hidden = !saved.edited;
    } catch (error) {
      status.classList.add("gmi-error-text");
      setText(status, error.message);
    } finally {
      save.disabled = preset.disabled = false;
    }
  }

  const form = h(
    "form",
    {
      class: "gmi-form",
      // The backend checks, and says in a sentence what is wrong.
      noValidate: true,
      on: {
        submit(event) {
          event.preventDefault();
          send(changes());
        },
      },
    },
    h(
      "div",
      { class: "gmi-form-grid" },
      field("width", number("width")),
      field("height", number("height")),
      field("steps", number("steps")),
      field("cfg", number("cfg")),
      field("sampler", select("sampler", library.samplers)),
      field("scheduler", select("scheduler", library.schedulers)),
      field("clip_skip", number("clip_skip")),
      field("dialect", select("dialect", library.dialects), t("settings.dialectHint")),
      field("prefix", text("prefix"), t("settings.prefixHint")),
      field("negative", area("negative")),
    ),
    row.because?.length > 0 && h("p", { class: "gmi-hint", text: t("settings.because", { reasons: row.because.join("; ") }) }),
    h("div", { class: "gmi-row" }, save, preset, button(t("settings.close"), close, { kind: "quiet" })),
    status,
  );
  preset.hidden = !row.edited;
  show(row.settings);
  return form;
}

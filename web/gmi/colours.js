/**
 * Colours that are read off the page: the ground an element lies on, the text around it, the accent of its buttons.
 *
 * Classes and variables of the front end's themes change from version to version; what is computed from them does not.
 * From these three every colour of the style sheet follows, each shifted until it can be read on all its grounds.
 */
import { app } from "../../../scripts/app.js";

/** WCAG's least contrasts, with a little to spare for rounding: of texts and of controls; and what the main text is brought to. */
const TEXT = 4.6;
const CONTROL = 3.1;
const MAIN = 9;

const BLACK = [0, 0, 0];
const WHITE = [1, 1, 1];
const CAUTION = [0.96, 0.62, 0.04];
const DANGER = [0.94, 0.27, 0.27];
const GOOD = [0.13, 0.77, 0.37];
const BLUE = [0.29, 0.56, 0.89];

/** Names the front end has had for its accent. They only choose among colours that its buttons show. */
const ACCENTS = ["--primary", "--primary-background", "--p-primary-color"];

/** @typedef {number[]} Colour red, green and blue from 0 to 1; a fourth number is its opacity */

const mix = (from, to, share) => from.slice(0, 3).map((value, i) => value + (to[i] - value) * share);
const over = (colour, ground) => mix(ground, colour, colour[3] ?? 1);
const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);

/** WCAG's ratio, from 1 to 21. */
export function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

const least = (colour, grounds) => Math.min(...grounds.map((ground) => contrast(colour, ground)));

/** The first colour on the way that will do; its end, if none does. */
function shift(from, to, wanted) {
  for (let step = 0; step < 80; step += 1) {
    const colour = mix(from, to, step / 80);
    if (wanted(colour)) return colour;
  }
  return to;
}

let probe = null;

/** What the browser makes of a colour, in whatever notation. @returns {Colour|null} */
function parse(text) {
  let numbers = text?.match(/^(?:rgba?\(|color\(srgb )(.*)\)$/)?.[1];
  if (text && numbers === undefined) {
    probe ??= Object.assign(document.createElement("i"), { hidden: true });
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = "";
    probe.style.color = `color-mix(in srgb, ${text}, ${text})`;
    text = probe.style.color && getComputedStyle(probe).color;
    numbers = text?.match(/^color\(srgb (.*)\)$/)?.[1];
  }
  const values = numbers?.split(/[\s,/]+/).map(Number.parseFloat);
  if (!values || values.length < 3 || values.some(Number.isNaN)) return null;
  const unit = text.startsWith("rgb") ? 255 : 1;
  return values.map((value, i) => (i < 3 ? Math.min(Math.max(value / unit, 0), 1) : value));
}

/**
 * What lies behind an element: backgrounds of its ancestors, as far as one that nothing is seen through.
 * @param {boolean} onNode
 * @returns {Colour|null} null on a node that is drawn on the canvas: its ground is none of the page's elements
 */
function groundBehind(element, onNode) {
  const canvas = app.canvas?.canvas;
  const layers = [];
  for (let at = element; at; at = at.parentElement ?? at.getRootNode().host) {
    if (onNode && canvas && at.contains(canvas)) return null;
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (!colour || colour[3] === 0) continue;
    layers.push(colour);
    if ((colour[3] ?? 1) === 1) break;
  }
  return layers.reduceRight((ground, layer) => over(layer, ground), WHITE);
}

const chroma = (colour) => Math.max(...colour.slice(0, 3)) - Math.min(...colour.slice(0, 3));
/** Reds stop and delete things; they are nobody's accent. */
const isRed = ([red, green, blue]) => red > 0.6 && green < red / 2 && blue < red / 1.6;

let pageAccent = null;

/** The colour of the buttons that the page wants pressed. */
function readAccent() {
  const shown = [...document.querySelectorAll("button")]
    .filter((button) => !button.closest(".gmi") && button.getClientRects().length > 0)
    .map((button) => parse(getComputedStyle(button).backgroundColor))
    .filter((colour) => colour && (colour[3] ?? 1) > 0.9 && chroma(colour) > 0.3 && !isRed(colour));
  const style = getComputedStyle(document.documentElement);
  const named = ACCENTS.map((name) => parse(style.getPropertyValue(name).trim())).filter((colour) => colour && chroma(colour) > 0.3);
  const known = named.find((colour) => shown.some((other) => contrast(colour, other) < 1.05));
  pageAccent = known ?? shown.sort((a, b) => chroma(b) - chroma(a))[0] ?? pageAccent ?? named[0] ?? BLUE;
}

/**
 * Every colour of the style sheet.
 * @param {Colour} text as the page shows it
 * @param {Colour} ground as the page shows it
 * @returns {{dark: boolean, colours: Record<string, Colour>}}
 */
export function palette(text, ground, accent) {
  // Where a palette has both of the same lightness, the text gives way.
  const dark = contrast(text, ground) < 2 ? luminance(ground) < 0.18 : luminance(ground) < luminance(text);
  const [far, near] = dark ? [WHITE, BLACK] : [BLACK, WHITE];
  const fg = shift(text, far, (colour) => contrast(colour, ground) >= MAIN);
  const bg = shift(ground, near, (colour) => contrast(fg, colour) >= MAIN - 2);
  const raised = mix(bg, fg, 0.08);
  const soft = (colour) => mix(bg, colour, 0.16);
  const grounds = {
    bg,
    surface: dark ? mix(bg, fg, 0.05) : mix(bg, WHITE, 0.5),
    first: dark ? raised : mix(bg, WHITE, 0.9),
    raised,
    pressed: mix(bg, fg, 0.14),
    control: dark ? raised : mix(bg, WHITE, 0.9),
    input: dark ? mix(bg, BLACK, 0.22) : mix(bg, WHITE, 0.9),
    segment: dark ? mix(bg, fg, 0.14) : mix(bg, WHITE, 0.9),
    "accent-soft": soft(accent),
    "caution-soft": soft(CAUTION),
    "danger-soft": soft(DANGER),
  };
  const all = Object.values(grounds);
  /** A text as faint as it may be, and a hue as near to its own as it may be. */
  const faded = (wanted) => shift(mix(bg, fg, 0.4), fg, (colour) => least(colour, all) >= wanted);
  const hue = (colour, wanted = TEXT) => shift(colour, far, (c) => least(c, all) >= wanted);
  const fill = hue(accent, CONTROL);
  // Buttons are darkened for a white text where the page has white on them, as long as they still stand out.
  const darkened = shift(fill, BLACK, (colour) => contrast(WHITE, colour) >= TEXT - 0.05);
  const button = contrast(WHITE, fill) >= CONTROL && least(darkened, [bg, grounds.surface, grounds.first]) >= CONTROL ? darkened : fill;
  const stop = mix(DANGER, BLACK, 0.2);
  const on = (colour) => (contrast(WHITE, colour) >= TEXT - 0.05 ? WHITE : contrast(BLACK, colour) > contrast(WHITE, colour) ? BLACK : WHITE);
  /** Away from its text, so that pointing at it makes nothing harder to read. */
  const pointed = (colour) => mix(colour, on(colour) === WHITE ? BLACK : WHITE, 0.14);
  const colours = {
    ...grounds,
    fg,
    muted: faded(TEXT),
    faint: faded(CONTROL),
    edge: faded(CONTROL),
    line: mix(bg, fg, 0.14),
    "line-strong": mix(bg, fg, 0.28),
    accent: fill,
    button,
    "button-pointed": pointed(button),
    "on-button": on(button),
    "accent-text": hue(accent),
    caution: hue(CAUTION),
    danger: hue(DANGER),
    good: hue(GOOD),
    stop,
    "stop-pointed": pointed(stop),
    "on-stop": on(stop),
  };
  return { dark, colours };
}

const css = (colour) => `rgb(${colour.map((value) => Math.round(value * 255)).join(" ")})`;

/** The colours of a node that is drawn on the canvas. */
function ofCanvas(node) {
  const { LiteGraph } = window;
  return { text: parse(LiteGraph?.WIDGET_TEXT_COLOR) ?? WHITE, ground: parse(node?.bgcolor) ?? parse(LiteGraph?.NODE_DEFAULT_BGCOLOR) ?? BLACK };
}

/** A panel is a little deeper than a dark node, and whiter than a light one, unless that is white itself. */
function inset(ground, text) {
  if (luminance(ground) < luminance(text)) return mix(ground, BLACK, 0.18);
  return luminance(ground) > 0.85 ? mix(ground, text, 0.04) : mix(ground, WHITE, 0.6);
}

/** What each element was dressed for, and in what. @type {WeakMap<HTMLElement, {node: any, worn: string}>} */
const dressed = new WeakMap();

function paint(element) {
  const around = element.parentElement;
  if (!element.isConnected || !around) return;
  const dress = dressed.get(element);
  const { node } = dress;
  const behind = groundBehind(around, node !== null);
  const { text, ground } = behind ? { text: over(parse(getComputedStyle(around).color) ?? BLACK, behind), ground: behind } : ofCanvas(node);
  const wanted = JSON.stringify([text, ground, pageAccent]);
  if (wanted === dress.worn) return;
  dress.worn = wanted;
  const { dark, colours } = palette(text, node ? inset(ground, text) : ground, pageAccent);
  for (const [name, colour] of Object.entries(colours)) element.style.setProperty(`--gmi-${name}`, css(colour));
  element.style.colorScheme = dark ? "dark" : "light";
}

function paintAll() {
  readAccent();
  for (const element of document.querySelectorAll(".gmi")) if (dressed.has(element)) paint(element);
}

let waiting = 0;

/** In the next frame, and once more when the page's own transitions have ended. */
function repaint() {
  if (waiting) return;
  waiting = requestAnimationFrame(() => {
    waiting = 0;
    paintAll();
    setTimeout(paintAll, 400);
  });
}

/** Follows the palette for as long as the page is open. */
export function followPalette() {
  const watcher = new MutationObserver(repaint);
  for (const element of [document.documentElement, document.body]) watcher.observe(element, { attributeFilter: ["class", "style", "data-theme"] });
  watcher.observe(document.head, { childList: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}

/**
 * Gives an element its colours, whenever it comes to lie somewhere else.
 * @param {HTMLElement} element of the class `gmi`
 * @param {any} [node] that it is a panel of
 */
export function dress(element, node = null) {
  dressed.set(element, { node, worn: "" });
  // The first layout tells that it is in the page now, a later one that it may lie somewhere else.
  new ResizeObserver(() => {
    if (pageAccent === null) readAccent();
    paint(element);
  }).observe(element);
  element.addEventListener("pointerenter", () => paint(element));
}

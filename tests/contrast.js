/**
 * Measures what is too faint on a page; tests/contrast.py runs it there.
 *
 * Colours are computed ones. The ground of an element is what its ancestors paint, blended from outside to inside; a
 * picture can have any colour, so what lies over one is held against both black and white. A control that cannot be
 * used is exempt, as in WCAG, and so is what is hidden.
 */
([selector, least]) => {
 // What fades in or out is measured where it ends.
 for (const change of document.getAnimations()) if (change instanceof CSSTransition) change.finish();
  const probe = document.body.appendChild(document.createElement("i"));
  const numbers = (text) => {
    const values = text.match(/-?[\d.]+(e-?\d+)?/g).map(Number);
    if (!text.startsWith("rgb")) values.forEach((v, i) => { if (i < 3) values[i] = v * 255; });
    return values.length > 3 ? values : [...values.slice(0, 3), 1];
  };
  const colour = (text) => {
    if (/^(rgb|color\(srgb )/.test(text)) return numbers(text.replace("color(srgb", ""));
    probe.style.color = `color-mix(in srgb, ${text}, ${text})`;
    return numbers(getComputedStyle(probe).color.replace("color(srgb", ""));
  };
  const over = (top, ground) => [0, 1, 2].map((i) => ground[i] + (top[i] - ground[i]) * top[3]);
  const linear = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const ratio = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const styles = (element) => getComputedStyle(element);
  const box = (element) => element.getBoundingClientRect();
  const shown = (element) =>
    element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) &&
    box(element).width > 1 && box(element).height > 1;
  const usable = (element) => !element.closest(":disabled, [inert]");
  const overlaps = (a, b) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

  /** What an element is painted on: one colour, or two where a picture is below it. */
  const grounds = (element, root) => {
    let found = [[255, 255, 255]];
    const chain = [];
    for (let at = element; at; at = at.parentElement) chain.unshift(at);
    for (const at of chain) {
      const own = colour(styles(at).backgroundColor);
      if (own[3] > 0) found = found.map((ground) => over(own, ground));
      const beside = at !== element && root.contains(at) ? [...at.querySelectorAll("img")] : [];
      const rest = chain.slice(chain.indexOf(at) + 1);
      if (beside.some((image) => shown(image) && !rest.some((below) => below.contains(image)) &&
          overlaps(box(image), box(element)))) found = [[0, 0, 0], [255, 255, 255]];
    }
    return found;
  };
  /** How much of an element is seen, with what its ancestors leave of it. */
  const seen = (element) => {
    let share = 1;
    for (let at = element; at; at = at.parentElement) share *= Number(styles(at).opacity);
    return share;
  };
  const against = (text, element, on) => {
    const [r, g, b, a] = colour(text);
    const share = seen(element);
    return Math.min(...on.map((ground) => ratio(over([r, g, b, a * share], ground), ground)));
  };

  /** A button that is only an icon is told by that, whatever its edge. */
  const ICON = ".pi, svg, [data-icon]";
  const faint = [];
  let measured = 0;
  const check = (kind, element, value, what) => {
    measured += 1;
    if (value >= least[kind]) return;
    const name = (what || element.getAttribute("aria-label") || element.className || element.tagName);
    faint.push(`${kind} ${value.toFixed(2)}: ${String(name).trim().slice(0, 60)}`);
  };

  for (const root of document.querySelectorAll(selector)) {
    // The radio button itself may be hidden, with a face of its own beside it.
    for (const element of root.querySelectorAll("input[type=radio]:checked")) {
      const face = shown(element) ? element : element.nextElementSibling;
      if (!face || !shown(face) || face === element) continue;
      check("control", element, boundary(face, grounds(face.parentElement, root)), `chosen: ${face.textContent}`);
    }
    for (const element of [root, ...root.querySelectorAll("*")]) {
      if (!shown(element) || !usable(element)) continue;
      const style = styles(element);
      const own = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
      if (own.length > 0 && !["OPTION", "SELECT", "TEXTAREA", "SCRIPT", "STYLE"].includes(element.tagName)) {
        check("text", element, against(style.color, element, grounds(element, root)), own[0].data);
      }
      if (element.matches(ICON)) {
        check("control", element, against(style.color, element, grounds(element, root)), `icon ${element.className}`);
      }
      if (element.matches("input:not([type=checkbox], [type=radio], [type=file]), select, textarea")) {
        const inside = grounds(element, root);
        const outside = grounds(element.parentElement, root);
        check("text", element, against(style.color, element, inside), `value of ${element.ariaLabel ?? element.name}`);
        if (element.placeholder) {
          check("text", element, against(getComputedStyle(element, "::placeholder").color, element, inside), element.placeholder);
        }
        check("control", element, boundary(element, outside), `boundary of ${element.placeholder || element.ariaLabel}`);
      }
      if (element.matches("button, [role=button]")) {
        const outside = grounds(element.parentElement, root);
        const plain = colour(style.backgroundColor)[3] === 0 && !bordered(style);
        if (!plain && (element.innerText.trim() || !element.querySelector(ICON)) && !element.querySelector("img")) check("control", element, boundary(element, outside), `boundary of ${element.textContent}`);
      }
      if (element.matches("[role=progressbar] > *") && box(element).width > 2) {
        const track = grounds(element.parentElement, root);
        check("control", element, against(style.backgroundColor, element, track), "progress");
      }
    }
  }
  function bordered(style) {
    return parseFloat(style.borderTopWidth) > 0 && style.borderTopStyle !== "none" && colour(style.borderTopColor)[3] > 0;
  }
  /** An edge is told by its line or by its filling, whichever stands out more. */
  function boundary(element, outside) {
    const style = styles(element);
    const line = bordered(style) ? against(style.borderTopColor, element, outside) : 1;
    return Math.max(line, against(style.backgroundColor, element, outside));
  }
  probe.remove();
  return { measured, faint };
}

/**
 * The script of the tab "Find Best Model". Python draws (lib_gmi/ui); this asks, and puts answers in
 * their places. AUTOMATIC1111 runs it in the page's global scope, so everything lives in one object.
 */
(function () {
  "use strict";
  if (window.gmi) return;

  const TITLE = "Find Best Model";
  const NO_ANSWER = "No answer came. Is the program still running?";
  const PAUSE = 8500; // milliseconds more before the next poll, after one that got no answer
  const UNHEARD = 20000; // milliseconds until gradio, which a button was pressed for, asks for the question
  const SLOW = 900000; // milliseconds that something may take that loads a checkpoint
  const POLL = 1500;
  const BATCH = 24; // samples fetched at a time

  const app = () => (typeof gradioApp === "function" ? gradioApp() : document);
  const byId = (id) => app().querySelector("#" + id);
  const root = () => byId("gmi_root");
  const all = (selector, from = root()) => (from ? [...from.querySelectorAll(selector)] : []);
  const region = (name) => root() && root().querySelector(`[data-gmi-region="${name}"]`);
  const named = (attribute, name) => all(`[${attribute}]`).filter((element) => element.getAttribute(attribute) === name);
  const visible = () => Boolean(root() && root().offsetParent) && !document.hidden;

  // -- channels: questions to Python, one at a time on each ---------------------------------------

  const channels = {};
  const session = Math.random().toString(36).slice(2);
  let serial = 0;

  /** Ask over a channel. Never rejects: what goes wrong is in the answer's `error`. */
  function ask(channel, body, timeout = 120000) {
    const line = (channels[channel] = channels[channel] || { waiting: [], current: null, timer: 0, taken: [] });
    return new Promise((resolve) => {
      line.waiting.push({ body: { ...body, id: ++serial }, resolve, timeout });
      next(channel);
    });
  }

  function next(channel) {
    const line = channels[channel];
    if (line.current || line.waiting.length === 0) return;
    line.current = line.waiting.shift();
    const button = byId(`gmi_${channel}`);
    if (!button) return settle(channel, unanswered());
    line.timer = setTimeout(() => settle(channel, unanswered()), line.current.timeout);
    const address = addressOf(button, channel);
    if (address) post(channel, address, line.current);
    else press(channel, line.current);
  }

  /** Let gradio ask: it takes the question, and says what was answered, or that it is done. */
  function press(channel, asked) {
    byId(`gmi_${channel}`).click();
    setTimeout(() => {
      const line = channels[channel];
      if (line.current === asked && !line.taken.includes(asked.body.id)) settle(channel, unanswered());
    }, UNHEARD);
  }

  /** An answer that says that there is none, to be shown where the answer would be. */
  function unanswered() {
    const said = `<p class="gmi-kicker">That did not work</p><p>${NO_ANSWER}</p>`;
    return { error: NO_ANSWER, html: `<div class="gmi-trouble" role="alert"><div>${said}</div></div>` };
  }

  // In a page as large as AUTOMATIC1111's, what gradio 3 and 4 do before and after a question takes
  // longer than the answer. Its server takes the same question from here.

  let direct = true;

  function addressOf(button, channel) {
    const config = window.gradio_config || {};
    if (!direct || channel === "send" || config.api_prefix || !config.components) return null; // "send" fills in what gradio shows
    const component = config.components.find(({ props }) => props && props.elem_id === button.id);
    const number = (config.dependencies || []).findIndex(({ targets, backend_fn }) => backend_fn && component && targets.flat().includes(component.id));
    if (number < 0) return null;
    const { id } = config.dependencies[number];
    const root = new URL(config.root || "/", location.href).pathname.replace(/\/$/, "");
    return { url: `${root}/run/predict`, fn_index: id === undefined ? number : id };
  }

  /** What Python gets: the page's token says that this page was served by it. */
  const signed = ({ body }) => JSON.stringify({ ...body, token: byId("gmi_root").dataset.token });

  async function post(channel, { url, fn_index }, asked) {
    let text = null;
    let refused = false;
    try {
      const reply = await fetch(url, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ fn_index, data: [signed(asked)], session_hash: `gmi-${session}` }),
      });
      refused = reply.status >= 400 && reply.status < 500; // not taken, so it can be asked again
      if (!refused) text = (await reply.json()).data[0];
    } catch (error) {
      console.debug(`${TITLE}:`, error);
    }
    if (refused) direct = false;
    if (channels[channel].current !== asked) return;
    if (refused) press(channel, asked);
    else settle(channel, answerTo(asked, parsed(text)));
  }

  function parsed(text) {
    try {
      return JSON.parse(text);
    } catch (error) {
      return null;
    }
  }

  const answerTo = (asked, said) => (said && said.id === asked.body.id ? said : unanswered());

  function settle(channel, answer) {
    const line = channels[channel];
    const { resolve } = line.current;
    clearTimeout(line.timer);
    line.current = null;
    resolve(answer);
    next(channel);
  }

  /** Called by gradio: the question that the hidden button was pressed for. */
  function take(channel) {
    const line = channels[channel];
    if (!line || !line.current) return "{}";
    line.taken.push(line.current.body.id);
    return signed(line.current);
  }

  /**
   * Called by gradio: what Python said. Where its own request failed, gradio calls this as well, with the answer before:
   * then one of the questions that it took gets none, which is the oldest. An answer that came too late is nobody's.
   */
  function answer(channel, text) {
    const line = channels[channel];
    if (!line) return;
    const said = parsed(text);
    const at = line.taken.indexOf(said ? said.id : null);
    const [id] = line.taken.splice(Math.max(at, 0), 1);
    if (line.current && line.current.body.id === id) settle(channel, answerTo(line.current, said));
  }

  // -- drawing: only what changed is touched, so focus, scroll and open folds stay ----------------

  const KEEP = new Set(["open", "src"]); // the page's own affair
  const chosenHere = (element, name) => name === "aria-pressed" && ["filter", "show"].includes(element.dataset.gmi);
  const keyOf = (node) => node.nodeType === 1 && (node.getAttribute("data-gmi-row") || node.getAttribute("data-gmi-thumb") || node.getAttribute("data-value"));
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

  function morph(old, fresh) {
    if (old.nodeType !== 1) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.hasAttribute("data-gmi-region")) return;
    for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value && !chosenHere(old, name)) old.setAttribute(name, value);
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !KEEP.has(name)) old.removeAttribute(name);
    morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    const wanted = [...fresh.childNodes];
    wanted.forEach((node, at) => {
      const present = old.childNodes[at];
      if (!present) old.appendChild(node);
      else if (alike(present, node)) morph(present, node);
      else old.replaceChild(node, present);
    });
    while (old.childNodes.length > wanted.length) old.removeChild(old.lastChild);
  }

  function parse(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    translate(template.content);
    return template.content;
  }

  // The web UI translates what is added to its page, but neither what changes nor what is nested.
  function said(text) {
    const key = text.trim();
    const translated = (window.localization || {})[key];
    return translated ? text.replace(key, () => translated) : text;
  }

  function translate(root) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) walker.currentNode.nodeValue = said(walker.currentNode.nodeValue);
    for (const name of ["title", "placeholder", "aria-label"]) {
      for (const element of root.querySelectorAll(`[${name}]`)) element.setAttribute(name, said(element.getAttribute(name)));
    }
  }

  function draw(name, html) {
    const place = typeof name === "string" ? region(name) : name;
    if (!place) return;
    morphChildren(place, parse(html));
    fetchPictures();
  }

  function toast(text) {
    let element = document.getElementById("gmi_toast");
    if (!element) { // outside the tab: it is seen on the other tabs as well
      element = document.createElement("div");
      element.id = "gmi_toast";
      element.setAttribute("role", "status");
      document.body.append(element);
    }
    element.textContent = said(text);
    element.hidden = false;
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => { element.hidden = true; }, 6000);
  }

  function alarm(said) {
    const wrong = said && said.error;
    draw("trouble", wrong ? said.html || "" : "");
    if (wrong && !said.html) toast(said.error);
    else if (wrong) region("trouble").scrollIntoView({ block: "nearest" }); // whoever scrolled down would not see it
  }

  // -- samples: fetched when they come into sight -------------------------------------------------

  const pictures = new Map();
  let wanted = new Set();
  let fetching = false;
  const sight = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      sight.unobserve(target);
      wanted.add(target.getAttribute("data-gmi-thumb"));
    }
    flush();
  }, { rootMargin: "200px" });

  function fetchPictures() {
    for (const image of all("img[data-gmi-thumb]")) {
      const key = image.getAttribute("data-gmi-thumb");
      if (image.dataset.shown === key) continue;
      if (pictures.has(key)) show(image, key);
      else sight.observe(image);
    }
  }

  function show(image, key) {
    const uri = pictures.get(key);
    image.dataset.shown = key;
    if (uri) image.src = uri;
    else image.removeAttribute("src");
  }

  async function flush() {
    if (fetching || wanted.size === 0) return;
    fetching = true;
    const keys = [...wanted].filter((key) => !pictures.has(key));
    const batch = keys.slice(0, BATCH);
    wanted = new Set(keys.slice(BATCH));
    if (batch.length > 0) {
      const said = await ask("pictures", { do: "pictures", keys: batch });
      for (const [key, uri] of Object.entries(said.pictures || {})) pictures.set(key, uri);
      while (pictures.size > 1200) pictures.delete(pictures.keys().next().value);
    }
    fetching = false;
    for (const image of all("img[data-gmi-thumb]")) {
      const key = image.getAttribute("data-gmi-thumb");
      if (image.dataset.shown !== key && pictures.has(key)) show(image, key);
    }
    flush();
  }

  // -- overlays -----------------------------------------------------------------------------------

  const closer = () => parse('<button type="button" class="gmi-icon-button gmi-close" data-gmi="close" aria-label="Close" title="Close">✕</button>');

  function overlay(id, html) {
    const dialog = byId(id);
    dialog.replaceChildren(closer(), parse(`<div class="gmi-dialog-body">${html}</div>`));
    if (!dialog.open) dialog.showModal();
    fetchPictures();
    return dialog;
  }

  const close = (element) => element.closest("dialog").close();

  /** Asks before something is lost; resolves to whether it shall be done. */
  function confirmed(question, yes) {
    const dialog = overlay("gmi_dialog", '<p class="gmi-question"></p><div class="gmi-line"></div>');
    dialog.querySelector(".gmi-question").textContent = question;
    const line = dialog.querySelector(".gmi-line");
    line.append(parse('<button type="button" class="gmi-button gmi-danger" data-gmi="yes"><span></span></button><button type="button" class="gmi-button gmi-plain" data-gmi="close"><span>Keep it</span></button>'));
    line.querySelector("[data-gmi=yes] span").textContent = yes;
    line.querySelector("[data-gmi=close]").focus();
    return new Promise((resolve) => {
      let answer = false;
      line.querySelector("[data-gmi=yes]").addEventListener("click", () => { answer = true; dialog.close(); });
      dialog.addEventListener("close", () => resolve(answer), { once: true });
    });
  }

  let shown = [];
  let shownAt = 0;

  /** A sample, large, with its prompt; the others of its set are one key away. */
  function enlarge(button) {
    const image = button.querySelector("img");
    const set = button.closest("[data-gmi-set]");
    shown = set && image.dataset.gmiThumb ? all('[data-gmi="enlarge"]', set) : [button];
    shownAt = Math.max(shown.indexOf(button), 0);
    const arrows = shown.length > 1 ? '<button type="button" class="gmi-arrow" data-gmi="before" aria-label="The one before">‹</button><button type="button" class="gmi-arrow gmi-arrow-after" data-gmi="after" aria-label="The next one">›</button>' : "";
    const about = button.querySelector("template") ? " gmi-with-about" : "";
    overlay("gmi_lightbox", `<div class="gmi-stage-row${about}"><div class="gmi-stage"><img alt="">${arrows}</div><div class="gmi-beside"></div></div><p class="gmi-caption"></p>`);
    enlarged();
  }

  async function enlarged() {
    const dialog = byId("gmi_lightbox");
    const button = shown[shownAt];
    const small = button.querySelector("img");
    const key = small.dataset.gmiThumb;
    const large = dialog.querySelector(".gmi-stage img");
    large.src = small.src;
    const about = button.querySelector("template"); // more than its prompt
    dialog.querySelector(".gmi-caption").textContent = key && !about ? button.title : "";
    dialog.querySelector(".gmi-beside").replaceChildren(...(about ? [parse(about.innerHTML)] : []));
    if (!key) return;
    const said = await ask("pictures", { do: "pictures", keys: [key], whole: true });
    const uri = (said.pictures || {})[key];
    if (uri && shown[shownAt] === button && large.isConnected) large.src = uri;
  }

  function step(by) {
    if (shown.length < 2) return;
    shownAt = (shownAt + by + shown.length) % shown.length;
    enlarged();
  }

  // -- the query's images -------------------------------------------------------------------------

  let images = [];
  let held = new Set(); // keys that Python has
  let typed = false;
  let query = "";
  let question = 0;
  let later = 0;

  const most = () => Number(byId("gmi_file").dataset.most);
  const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const isImage = (file) => file.type.startsWith("image/") || /\.(avif|bmp|gif|jpe?g|png|tiff?|webp)$/i.test(file.name);

  function dataUrl(file) {
    return new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(file);
    });
  }

  async function add(files, instead = false) {
    const good = [...files].filter(isImage);
    if (good.length === 0) return toast("There is no image in that.");
    const read = await Promise.all(good.map(async (file) => ({ key: newKey(), data: await dataUrl(file), name: file.name })));
    if (instead) { // another wish: the words for the last one do not describe it
      images = [];
      typed = false;
      resetPrompt();
    }
    if (images.length === 0 && byId("gmi_prompt").value.trim() === "") typed = false;
    const fresh = read.filter((image) => !images.some((other) => other.data === image.data));
    if (images.length + fresh.length > most()) toast(`${most()} images at a time are the most.`);
    images = [...images, ...fresh].slice(0, most());
    drawImages();
    showView("find");
    if (fresh.length > 0) soon(0);
  }

  function resetPrompt() {
    if (typed) return;
    byId("gmi_prompt").value = "";
    byId("gmi_prompt_note").hidden = true;
  }

  function drawImages() {
    byId("gmi_images").classList.toggle("gmi-some", images.length > 0);
    const tiles = images.map((image) => {
      const tile = document.createElement("li");
      tile.className = "gmi-tile";
      const picture = document.createElement("img");
      picture.src = image.data;
      picture.alt = picture.title = image.name;
      const remove = document.createElement("button");
      Object.assign(remove, { type: "button", className: "gmi-remove", textContent: "✕", title: "Remove" });
      remove.setAttribute("aria-label", `Remove ${image.name}`);
      remove.dataset.gmi = "remove-image";
      remove.dataset.name = image.key;
      tile.append(picture, remove);
      return tile;
    });
    byId("gmi_tiles").replaceChildren(...tiles);
  }

  function removeImage(key) {
    const held = byId("gmi_images").contains(document.activeElement);
    images = images.filter((image) => image.key !== key);
    drawImages();
    if (held) focusFirst('[data-gmi="remove-image"], [data-gmi="choose"]', byId("gmi_images"));
    if (images.length > 0) return soon();
    question += 1;
    query = "";
    busy(false);
    resetPrompt();
    draw("switched", "");
    draw("result", emptyResult);
  }

  /** What had the focus is gone; the next best thing has it, rather than the page's beginning. */
  function focusFirst(selector, from) {
    const next = all(selector, from).find((element) => element.offsetParent && !element.disabled);
    if (next) next.focus();
  }

  let emptyResult = "";

  function busy(now) {
    root().classList.toggle("gmi-asking", now);
    byId("gmi_result").setAttribute("aria-busy", String(now));
  }

  function soon(delay = 250) {
    clearTimeout(later);
    if (images.length > 0) busy(true);
    later = setTimeout(rank, delay);
  }

  const pressed = (kind, view = byId("gmi_find")) => all(`[data-filter="${kind}"][aria-pressed="true"]`, view).map((chip) => chip.dataset.value);
  const sent = (again) => images.map(({ key, data }) => (held.has(key) && !again ? { key } : { key, data }));

  async function withImages(body, channel = "ask", timeout = undefined) {
    let said = await ask(channel, { ...body, images: sent(false) }, timeout);
    if (said.resend) said = await ask(channel, { ...body, images: sent(true) }, timeout);
    if (!said.error) for (const { key } of images) held.add(key);
    return said;
  }

  /** Ranks; a newer question makes an older answer void. Loads nothing unless that was ticked. */
  async function rank() {
    clearTimeout(later);
    if (images.length === 0) return toast("Choose an image first.");
    const mine = ++question;
    busy(true);
    const said = await withImages({
      do: "rank", prompt: byId("gmi_prompt").value, typed,
      method: byId("gmi_method").value, architectures: pressed("architecture"), folders: pressed("folder"),
      favourites: pressed("favourites").length > 0,
    });
    if (mine !== question) return;
    busy(false);
    draw("switched", "");
    if (said.error) {
      query = "";
      return draw("result", said.html || "");
    }
    query = said.query;
    compared = "";
    const result = region("result");
    result.replaceChildren(parse(said.html));
    fetchPictures();
    if (said.prompt && !typed) {
      byId("gmi_prompt").value = said.prompt;
      byId("gmi_prompt_note").hidden = false;
    }
    showLoaded(said.current);
    if (byId("gmi_auto") && byId("gmi_auto").checked) switchTo(said);
  }

  // -- loading, and taking it back ----------------------------------------------------------------

  let current = null;
  let before = null; // what was loaded before the checkpoint that we loaded
  let loadedHere = null;

  function showLoaded(name) {
    current = name;
    if (loadedHere !== name) loadedHere = before = null;
    for (const card of all("[data-gmi-card]")) {
      const mine = card.dataset.gmiCard === name;
      card.classList.toggle("gmi-is-loaded", mine);
      for (const element of card.querySelectorAll('[data-gmi="load"]')) element.hidden = mine;
      for (const element of card.querySelectorAll("[data-gmi-loaded]")) element.hidden = !mine;
      for (const element of card.querySelectorAll('[data-gmi="undo"]')) element.hidden = !(mine && before);
    }
  }

  async function load(name, undoing = false) {
    const buttons = all('[data-gmi="load"], [data-gmi="undo"]');
    const held = buttons.find((button) => button === document.activeElement);
    for (const button of buttons) button.disabled = true;
    for (const card of named("data-gmi-card", name)) card.classList.add("gmi-loading");
    const said = await ask("load", { do: "load", name }, SLOW);
    for (const button of all('[data-gmi="load"], [data-gmi="undo"]')) button.disabled = false;
    for (const card of all(".gmi-loading")) card.classList.remove("gmi-loading");
    alarm(said);
    const refocus = () => held && [document.body, held].includes(document.activeElement) && focusFirst("button", held.parentElement);
    if (said.error) {
      refocus();
      return false;
    }
    loadedHere = undoing ? null : said.current;
    before = undoing || said.before === said.current ? null : said.before;
    showLoaded(said.current);
    refocus();
    // the web UI's own list of checkpoints follows; what it names is loaded already
    if (said.title && typeof window.selectCheckpoint === "function") window.selectCheckpoint(said.title);
    if (undoing) draw("switched", "");
    return true;
  }

  const undo = () => before && load(before, true);

  async function switchTo(said) {
    if (said.foreign || !said.best) return note("Nothing fits well, so nothing was switched.", false);
    if (said.best === current) return note(`${said.best_title} is loaded already.`, false);
    note(`Switching to ${said.best_title}…`, false);
    if (await load(said.best)) note(`Switched to ${said.best_title}, as you chose below the prompt.`, Boolean(before));
    else draw("switched", "");
  }

  function note(text, undoable) {
    draw("switched", '<p class="gmi-switched"><span></span></p>');
    const line = region("switched").firstChild;
    line.firstChild.textContent = text;
    if (undoable) line.append(parse('<button type="button" class="gmi-link" data-gmi="undo"><span>Undo</span></button>'));
  }

  // -- the page as it is now ----------------------------------------------------------------------

  const known = {};
  const knownRows = {};
  let compared = "";
  let working = false;
  let asking = false;
  let inTrouble = false;
  let askedAt = 0;
  let fullAt = 0;
  let wasVisible = false;
  let lastBuilding = null;
  let drawnRoot = null;

  async function refresh(full = true) {
    if (asking) {
      refresh.again = refresh.again || full;
      return;
    }
    asking = true;
    const body = { do: "state", full, known: { ...known }, rows: full ? { ...knownRows } : {}, query, comparison: compared };
    const said = await ask("poll", body, 60000);
    asking = false;
    askedAt = Date.now();
    if (said.error) {
      askedAt += PAUSE; // and then once more
      inTrouble = true;
      root().dataset.ready = "true"; // with what is wrong
      return alarm(said);
    }
    if (inTrouble) alarm(null);
    inTrouble = false;
    if (full || said.rows) fullAt = askedAt;
    const moved = said.building !== lastBuilding;
    lastBuilding = said.building;
    working = said.busy;
    for (const [name, [digest, html]] of Object.entries(said.regions || {})) {
      if (!region(name)) continue;
      draw(name, html);
      known[name] = digest;
    }
    if (said.rows) drawRows(said.rows, said.order);
    if (said.comparison && region("compare")) {
      compared = said.comparison[0];
      draw("compare", said.comparison[1]);
    }
    root().classList.toggle("gmi-blur", said.blur);
    if (said.pictured !== undefined) root().classList.toggle("gmi-no-pictures", !said.pictured);
    if (said.first_run !== undefined) root().classList.toggle("gmi-first-run", said.first_run);
    if (said.current !== current) showLoaded(said.current);
    markBuilding(said);
    estimate();
    tell("state", said);
    root().dataset.ready = "true";
    if (refresh.again || (moved && !full)) {
      refresh.again = false;
      refresh(true);
    }
  }

  function markBuilding(said) {
    for (const row of all("[data-gmi-row]")) row.classList.toggle("gmi-row-building", said.build_state === "running" && row.dataset.gmiRow === said.building);
  }

  /** Looks every second whether there is something to ask; asks only while somebody can see it. */
  function tick() {
    const now = root();
    if (!now) return;
    if (now !== drawnRoot) adopt(now);
    if (!visible()) {
      wasVisible = false;
      return;
    }
    if (!wasVisible) {
      wasVisible = true;
      return refresh(true);
    }
    if ((working || inTrouble) && !asking && Date.now() - askedAt >= POLL) refresh(inTrouble || Date.now() - fullAt > 8000);
  }

  /** The page was drawn, or gradio drew it anew: then nothing of it is known any more. */
  function adopt(fresh) {
    drawnRoot = fresh;
    for (const name of Object.keys(known)) delete known[name];
    for (const name of Object.keys(knownRows)) delete knownRows[name];
    translate(fresh);
    emptyResult = region("result").innerHTML;
    wasVisible = false;
    drawImages();
    tell("adopt", fresh);
    new IntersectionObserver(() => tick()).observe(fresh);
    const search = byId("gmi_search");
    search.addEventListener("input", arrange);
    byId("gmi_prompt").addEventListener("input", () => {
      typed = true;
      byId("gmi_prompt_note").hidden = true;
    });
    byId("gmi_prompt").addEventListener("change", () => {
      typed = true;
      if (images.length > 0) soon();
    });
    byId("gmi_file").addEventListener("change", (event) => {
      add([...event.target.files]);
      event.target.value = "";
    });
  }

  // -- the table ----------------------------------------------------------------------------------

  const selected = new Set();
  let sortBy = "name";
  let upwards = true;
  let states = null;

  function drawRows(fresh, order) {
    const list = byId("gmi_rows");
    const present = new Map([...list.children].map((row) => [row.dataset.gmiRow, row]));
    for (const name of present.keys()) {
      if (order.includes(name)) continue;
      present.get(name).remove();
      selected.delete(name);
      delete knownRows[name];
    }
    for (const [name, [digest, html]] of Object.entries(fresh)) {
      const row = parse(html).firstChild;
      if (present.has(name)) morph(present.get(name), row);
      else list.append(row);
      knownRows[name] = digest;
    }
    arrange();
    fetchPictures();
  }

  const rowsNow = () => all("[data-gmi-row]");
  const shownRows = () => rowsNow().filter((row) => !row.hidden);
  const order = {
    name: (a, b) => a.dataset.title.localeCompare(b.dataset.title, undefined, { numeric: true }),
    state: (a, b) => a.dataset.order - b.dataset.order,
    size: (a, b) => b.dataset.size - a.dataset.size,
    built: (a, b) => b.dataset.built - a.dataset.built,
  };

  /** Filters and sorts what is there; elements that stay in place are not touched. */
  function arrange() {
    const list = byId("gmi_rows");
    const words = byId("gmi_search").value.trim().toLowerCase().split(/\s+/);
    const rows = rowsNow();
    for (const row of rows) row.hidden = !(words.every((word) => row.dataset.title.includes(word)) && (!states || states.includes(row.dataset.state)));
    rows.sort((a, b) => (order[sortBy](a, b) || order.name(a, b)) * (upwards ? 1 : -1));
    rows.forEach((row, at) => {
      if (list.children[at] !== row) list.insertBefore(row, list.children[at]);
    });
    byId("gmi_no_rows").hidden = rows.some((row) => !row.hidden) || rows.length === 0;
    select();
  }

  function select() {
    for (const box of all('[data-gmi="select"]')) box.checked = selected.has(box.dataset.name);
    const everything = byId("gmi_select_all");
    if (!everything) return; // there is nothing here to do with several of them
    const able = shownRows().map((row) => row.querySelector('[data-gmi="select"]')).filter((box) => !box.disabled);
    const taken = able.filter((box) => box.checked).length;
    everything.checked = able.length > 0 && taken === able.length;
    everything.indeterminate = taken > 0 && taken < able.length;
    byId("gmi_selected").textContent = selected.size > 0 ? `${selected.size} selected` : "";
    estimate();
  }

  function duration(seconds) {
    if (seconds < 50) return `${Math.max(5, Math.round(seconds / 5) * 5)} seconds`;
    const minutes = Math.round(seconds / 60);
    if (minutes < 60) return minutes <= 1 ? "1 minute" : `${minutes} minutes`;
    const tens = Math.round(minutes / 10);
    if (tens < 60 && tens % 6) return `${Math.floor(tens / 6)} h ${(tens % 6) * 10} min`;
    const hours = Math.round(minutes / 60);
    return hours === 1 ? "1 hour" : `${hours} hours`;
  }

  const passNow = () => Number((root().querySelector('[name="gmi_pass"]:checked') || { value: 4 }).value);
  const lacks = (row, limit) => JSON.parse(row.dataset.missing)[limit] || 0;
  const rowOf = (name) => rowsNow().find((row) => row.dataset.gmiRow === name);

  /** What the chosen build would make, and how long that takes. */
  function estimate() {
    const line = byId("gmi_estimate");
    if (!line) return;
    const chosen = selected.size > 0;
    const rows = rowsNow().filter((row) => (chosen ? selected.has(row.dataset.gmiRow) : !["suspect", "unsupported"].includes(row.dataset.state)));
    const missing = rows.map((row) => lacks(row, passNow())).filter((number) => number > 0);
    const samples = missing.reduce((sum, number) => sum + number, 0);
    const pace = Number(line.closest("[data-pace]") ? line.closest("[data-pace]").dataset.pace : 0);
    const time = pace ? `about ${duration(samples * pace)}.` : "How long that takes is known after the first image.";
    const many = `${missing.length} ${missing.length === 1 ? "checkpoint" : "checkpoints"}, ${samples} ${samples === 1 ? "image" : "images"},`;
    line.textContent = samples > 0 ? `${many} ${time}` : "Nothing is missing for this choice.";
    byId("gmi_build_start").disabled = samples === 0;
    const again = samples > 0 && rows.every((row) => lacks(row, passNow()) === 0 || row.dataset.state === "failed");
    byId("gmi_build_label").textContent = said(chosen ? "Build selected" : again ? "Try again" : "Build missing");
  }

  /** So many samples that a build of this checkpoint has something to do. */
  function passFor(name) {
    const row = rowOf(name);
    const missing = row ? JSON.parse(row.dataset.missing) : {};
    if (missing[passNow()] > 0) return passNow();
    const sizes = Object.keys(missing).map(Number).sort((a, b) => a - b);
    return sizes.find((size) => missing[size] > 0) || passNow();
  }

  // -- views --------------------------------------------------------------------------------------

  function showView(name) {
    for (const section of all("[data-gmi-view]")) section.hidden = section.dataset.gmiView !== name;
    for (const button of all('[data-gmi="view"]')) {
      const chosen = button.dataset.value === name;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
    fetchPictures();
    tell("view", name);
  }

  function showStates(button) {
    for (const other of all('[data-gmi="show"]')) other.setAttribute("aria-pressed", String(other === button));
    states = button.dataset.value === "all" ? null : button.dataset.states.split(" ");
    arrange();
  }

  // -- what buttons do ----------------------------------------------------------------------------

  /** Something that changes the program or the library; the page follows. */
  async function act(body, timeout) {
    const said = await ask("act", body, timeout);
    alarm(said);
    if (said.dialog) overlay("gmi_dialog", said.dialog);
    refresh(true);
    return said;
  }

  /** Put a prompt and settings into txt2img. What the user wrote into its negative prompt goes along, to stay there. */
  async function sendPrompt(body) {
    const own = app().querySelector("#txt2img_neg_prompt textarea");
    const said = await ask("send", { ...body, negative: own ? own.value : "" });
    if (!said.error) setTimeout(() => byId("gmi_paste").click(), 60); // gradio has to see the text first
    return said;
  }

  async function lookAt(body) {
    const said = await ask("act", body);
    alarm(said);
    if (said.dialog) overlay("gmi_dialog", said.dialog);
  }

  function settingsOf(form) {
    const edited = form.hasAttribute("data-edited");
    const changes = edited && form.dataset.vae ? { vae: form.dataset.vae } : {};
    for (const field of form.querySelectorAll("[name]")) {
      const number = field.type === "number";
      const value = number ? field.valueAsNumber : field.value;
      const empty = Number.isNaN(value) || (value === "" && !["prefix", "negative"].includes(field.name));
      // one with its preset keeps following it with everything that was not changed
      if (!empty && (edited || String(value) !== field.dataset.was)) changes[field.name] = value;
    }
    return changes;
  }

  async function saveSettings(name, settings) {
    const said = await ask("act", { do: "settings-save", name, settings });
    if (said.error) return draw("settings-answer", said.html || "");
    byId("gmi_dialog").close();
    toast("Saved. Samples made before keep the settings they were made with.");
    refresh(true);
  }

  const actions = {
    choose: () => byId("gmi_file").click(),
    clear() {
      images = [];
      removeImage("");
    },
    find: rank,
    "remove-image": (button) => removeImage(button.dataset.name),
    filter(button) {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      if (!byId("gmi_find").contains(button)) tell("filter", button);
      else if (images.length > 0) soon();
    },
    async describe(button) {
      if (images.length === 0) return toast("Choose an image first.");
      button.disabled = true;
      const said = await withImages({ do: "describe" }, "load", SLOW); // its model may be loaded first
      button.disabled = false;
      alarm(said);
      if (said.error) return;
      byId("gmi_prompt").value = said.prompt;
      byId("gmi_prompt_note").hidden = true;
      typed = true;
      soon();
    },
    view: (button) => showView(button.dataset.value),
    "view-specifications": () => showView("specifications"),
    "build-missing"() {
      showView("specifications");
      const missing = root().querySelector('[data-gmi="show"][data-value="missing"]');
      if (missing) showStates(missing);
    },
    "harvest-first"() {
      showView("specifications");
      act({ do: "harvest-look" });
    },
    "harvest-rest"(button) {
      showView("specifications");
      act({ do: "harvest-start", rest: Number(button.dataset.name) });
    },
    "harvest-look": () => act({ do: "harvest-look", lossy: byId("gmi_harvest_lossy").checked }),
    "harvest-start": () => act({ do: "harvest-start", lossy: byId("gmi_harvest_lossy").checked }),
    "harvest-cancel": () => act({ do: "harvest-cancel" }),
    "pack-choose"() {
      const chooser = byId("gmi_pack_file");
      chooser.onchange = async () => {
        const [file] = chooser.files;
        chooser.value = "";
        if (!file) return;
        const said = await act({ do: "pack-import", data: await dataUrl(file) });
        if (!said.error) toast(said.new ? `${said.title}: imported.` : `${said.title}: was there already.`);
      };
      chooser.click();
    },
    "pack-check": (button) => {
      toast("Three images are generated and compared.");
      return ask("load", { do: "pack-check", name: button.dataset.name }, SLOW).then((said) => {
        alarm(said);
        if (said.dialog) overlay("gmi_dialog", said.dialog);
      });
    },
    "pack-remove": (button) => act({ do: "pack-remove", name: button.dataset.name }),
    load: (button) => load(button.dataset.name),
    undo,
    async send(button) {
      alarm(await sendPrompt({ name: button.dataset.name, query }));
    },
    samples: (button) => lookAt({ do: "samples", name: button.dataset.name }),
    async favourite(button) {
      const marked = button.getAttribute("aria-pressed") !== "true";
      const mark = (on) => named("data-name", button.dataset.name).filter((other) => other.dataset.gmi === "favourite").forEach((other) => other.setAttribute("aria-pressed", String(on)));
      mark(marked);
      if ((await act({ do: "favourite", name: button.dataset.name, marked })).error) mark(!marked);
    },
    enlarge,
    before: () => step(-1),
    after: () => step(1),
    close,
    async compare(button) {
      const count = Number(byId("gmi_compare_count").value);
      const seed = Number(byId("gmi_compare_seed").value);
      button.closest("details").open = false;
      const said = await act({ do: "compare", query, count, seed });
      if (said.error) draw("compare", said.html || "");
    },
    async share(button) {
      button.disabled = true;
      await lookAt({ do: "share", query });
      button.disabled = false;
    },
    async "build-first"(button) {
      button.disabled = true;
      showView("specifications");
      await act({ do: "build", limit: Number(button.dataset.name) });
      button.disabled = false;
    },
    async "build-start"(button) {
      button.disabled = true;
      const names = selected.size > 0 ? { names: [...selected] } : {};
      const said = await act({ do: "build", limit: passNow(), ...names });
      if (!said.error) selected.clear();
      select();
    },
    "build-one": (button) => act({ do: "build", names: [button.dataset.name], limit: passFor(button.dataset.name) }),
    "build-pause": () => act({ do: "build-pause" }),
    "build-resume": () => act({ do: "build-resume" }),
    "build-cancel": () => act({ do: "build-cancel" }),
    "build-now": () => act({ do: "build-now" }),
    async rebuild(button) {
      const { name } = button.dataset;
      if (await confirmed(`Delete the specification of ${name} and make its images again? That takes time.`, "Rebuild")) act({ do: "rebuild", names: [name], limit: passNow() });
    },
    async delete(button) {
      const { name } = button.dataset;
      if (await confirmed(`Delete the specification of ${name} and its samples? The checkpoint itself stays.`, "Delete")) act({ do: "delete", names: [name] });
    },
    async "delete-gone"(button) {
      if (await confirmed("Delete this specification? Should the checkpoint come back, its images have to be made again.", "Delete")) act({ do: "delete", names: [button.dataset.name], gone: true });
    },
    settings: (button) => lookAt({ do: "settings", name: button.dataset.name }),
    "settings-save": (button) => saveSettings(button.dataset.name, settingsOf(byId("gmi_settings"))),
    "settings-preset": (button) => saveSettings(button.dataset.name, null),
    "preview-make": (button) => act({ do: "preview-make", name: button.dataset.name }),
    "preview-undo": (button) => act({ do: "preview-undo", name: button.dataset.name }),
    async verify(button) {
      button.disabled = true;
      const dialog = overlay("gmi_dialog", '<p class="gmi-waiting" role="status"><span>Every specification is read whole. That can take a while.</span></p>');
      const answer = await ask("act", { do: "verify" }, SLOW);
      button.disabled = false;
      if (dialog.open) dialog.close();
      alarm(answer);
      if (answer.dialog) overlay("gmi_dialog", answer.dialog);
      refresh(true);
    },
    show: showStates,
    sort(button) {
      upwards = sortBy === button.dataset.value ? !upwards : true;
      sortBy = button.dataset.value;
      for (const other of all('[data-gmi="sort"]')) {
        other.setAttribute("aria-pressed", String(other === button));
        other.classList.toggle("gmi-down", other === button && !upwards);
      }
      arrange();
    },
  };

  const changes = {
    method: () => images.length > 0 && soon(),
    auto: () => {},
    pass: estimate,
    select(box) {
      if (box.checked) selected.add(box.dataset.name);
      else selected.delete(box.dataset.name);
      select();
    },
    "select-all"(box) {
      for (const row of shownRows()) {
        const one = row.querySelector('[data-gmi="select"]');
        if (one.disabled) continue;
        if (box.checked) selected.add(one.dataset.name);
        else selected.delete(one.dataset.name);
      }
      select();
    },
  };

  // -- what people do -----------------------------------------------------------------------------

  const inside = (event) => root() && root().contains(event.target);
  const openMenus = () => all("details.gmi-menu[open], details.gmi-compare[open]");

  /** Close a menu; what had the focus in it is not there any more. */
  function shut(menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }

  /** Esc was pressed: whether it was meant for something of ours. The browser closes overlays. */
  function escaped() {
    if (!visible()) return false;
    if (all("dialog[open]").length > 0) return true;
    const menus = openMenus();
    menus.forEach(shut);
    return menus.length > 0;
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest && event.target.closest("#gmi_channels")) return; // our own
    for (const menu of openMenus()) {
      if (!menu.contains(event.target)) menu.open = false;
      else if (event.target.closest(".gmi-menu-entry")) shut(menu);
    }
    if (!inside(event)) return;
    if (event.target.nodeName === "DIALOG") return event.target.close(); // beside what it shows
    const button = event.target.closest("button[data-gmi]");
    if (button && !button.disabled && actions[button.dataset.gmi]) actions[button.dataset.gmi](button);
    else if (event.target.closest(".gmi-drop")) actions[event.target.closest(".gmi-drop").dataset.choose]();
  });

  document.addEventListener("change", (event) => {
    const kind = inside(event) && event.target.dataset && event.target.dataset.gmi;
    if (kind && changes[kind]) changes[kind](event.target);
  });

  document.addEventListener("submit", (event) => {
    if (!inside(event)) return;
    event.preventDefault();
    if (event.target.id === "gmi_settings") saveSettings(event.target.dataset.name, settingsOf(event.target));
  });

  // In the capture phase: the program's own shortcuts must not fire while somebody works here.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && escaped()) return event.stopPropagation();
    if (!inside(event)) return;
    if (event.target.id === "gmi_prompt" && event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      event.stopPropagation();
      typed = true;
      if (images.length > 0) rank();
      return;
    }
    if (byId("gmi_lightbox").open && ["ArrowLeft", "ArrowRight"].includes(event.key)) step(event.key === "ArrowLeft" ? -1 : 1);
    if (event.target.dataset.gmi === "view" && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      const views = all('[data-gmi="view"]');
      const other = views[(views.indexOf(event.target) + (event.key === "ArrowLeft" ? -1 : 1) + views.length) % views.length];
      other.focus();
      other.click();
    }
  }, true);

  const overFind = (event) => inside(event) && !byId("gmi_find").hidden;
  const carriesImage = (transfer) => transfer && [...transfer.types].some((type) => type === "Files" || type === "text/uri-list");

  document.addEventListener("dragover", (event) => {
    if (!overFind(event) || !carriesImage(event.dataTransfer)) return;
    event.preventDefault();
    event.stopPropagation();
    event.dataTransfer.dropEffect = "copy";
    root().classList.add("gmi-dropping");
  }, true);
  document.addEventListener("dragleave", (event) => {
    if (root() && !root().contains(event.relatedTarget)) root().classList.remove("gmi-dropping");
  }, true);
  document.addEventListener("drop", (event) => {
    if (root()) root().classList.remove("gmi-dropping");
    if (!overFind(event) || !carriesImage(event.dataTransfer)) return;
    event.preventDefault();
    event.stopPropagation();
    const { files } = event.dataTransfer;
    if (files.length > 0) add([...files]);
    else fromAddress(event.dataTransfer.getData("text/uri-list").split("\n")[0]).then((file) => file && add([file]));
  }, true);

  window.addEventListener("paste", (event) => {
    if (!visible() || byId("gmi_find").hidden) return;
    const files = [...((event.clipboardData || {}).files || [])].filter(isImage);
    if (files.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    add(files);
  }, true);

  async function fromAddress(address) {
    try {
      const reply = await fetch(address);
      if (!reply.ok) throw new Error(String(reply.status));
      const blob = await reply.blob();
      return new File([blob], decodeURIComponent(address.split(/[?#]/)[0].split("/").pop()).slice(0, 80) || "image", { type: blob.type || "image/png" });
    } catch (error) {
      toast("That image cannot be read from where it is. Save it first, then drop the file.");
      return null;
    }
  }

  // -- images from the program's other tabs -------------------------------------------------------

  const SOURCES = {
    txt2img: ["#txt2img_gallery .preview > img, #txt2img_gallery .preview img[data-testid=detailed-image]", "#txt2img_gallery .thumbnail-item.selected img", "#txt2img_gallery .thumbnail-item img, #txt2img_gallery img"],
    img2img: ["#img2img_gallery .preview > img, #img2img_gallery .preview img[data-testid=detailed-image]", "#img2img_gallery .thumbnail-item.selected img", "#img2img_gallery .thumbnail-item img, #img2img_gallery img"],
    pnginfo: ["#pnginfo_image img"],
  };

  function openTab() {
    const tabs = app().querySelector("#tabs");
    const mine = root() && root().closest(".tabitem");
    if (!tabs || !mine) return;
    const buttons = [...tabs.querySelectorAll(":scope > .tab-nav > button, :scope > .tab-wrapper button[role=tab]")];
    const siblings = [...tabs.querySelectorAll(":scope > .tabitem")];
    const button = buttons.find((each) => each.textContent.trim() === TITLE) || buttons[siblings.indexOf(mine)];
    if (button) button.click();
  }

  /** Take the image that a tab shows, go to ours and rank. */
  async function send(tabname) {
    const image = (SOURCES[tabname] || []).map((selector) => app().querySelector(selector)).find((found) => found && found.src);
    if (!image) return toast("There is no image to send yet.");
    const file = await fromAddress(image.src);
    if (!file) return;
    openTab();
    await add([file], true);
  }

  function addSendButtons() {
    const places = {
      txt2img: app().querySelector("#image_buttons_txt2img .form") || app().querySelector("#image_buttons_txt2img"),
      img2img: app().querySelector("#image_buttons_img2img .form") || app().querySelector("#image_buttons_img2img"),
      pnginfo: (app().querySelector("#tab_pnginfo #pnginfo_send_to_txt2img, #tab_pnginfo #txt2img_tab, #tab_pnginfo button[id$=txt2img_tab]") || {}).parentElement,
    };
    for (const [tabname, place] of Object.entries(places)) {
      if (!place || !root() || byId(`gmi_send_${tabname}`)) continue;
      const model = place.querySelector("button");
      const button = document.createElement("button");
      Object.assign(button, { type: "button", id: `gmi_send_${tabname}`, title: "Send to Find Best Model", textContent: tabname === "pnginfo" ? "Send to Find Best Model" : "🔎" });
      button.className = model ? model.className : "lg secondary gradio-button tool";
      button.addEventListener("click", () => send(tabname));
      place.append(button);
    }
  }

  // -- the view Search is a script of its own (gmi_search.js) --------------------------------------

  const listeners = {};
  const on = (event, listener) => (listeners[event] = listeners[event] || []).push(listener);
  const tell = (event, about) => (listeners[event] || []).forEach((listener) => listener(about));

  window.gmi = {
    take, answer, send,
    parts: { actions, changes, on, ask, sendPrompt, alarm, all, byId, dataUrl, draw, fetchPictures, fromAddress, inside, isImage, newKey, parse, pressed, refresh, region, root, showView, toast, visible, carriesImage, focusFirst, showLoaded, current: () => current },
  };

  function look() {
    tick();
    addSendButtons();
  }

  // The program may draw its page at any time, and draw it anew: so this keeps looking.
  setInterval(look, 1000);
  if (typeof onUiLoaded === "function") onUiLoaded(look);
})();

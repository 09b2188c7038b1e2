/**
 * The view "Search" of the tab "Find Best Model". Like gmi.js, which has the parts that both are made
 * of: Python draws (lib_gmi/ui/search_*.py); this asks, and puts answers in their places.
 */
(function begin() {
  "use strict";
  const gmi = window.gmi;
  if (!gmi) return setTimeout(begin, 50); // the program may load scripts in any order
  if (gmi.search) return;
  const { actions, changes, on, ask, sendPrompt, alarm, all, byId, dataUrl, draw, fetchPictures, fromAddress, inside, isImage, newKey, parse, pressed, refresh, region, root, showView, toast, visible, carriesImage, focusFirst, showLoaded, current } = gmi.parts;

  const AGAIN = 1200; // milliseconds until the next look at what is being read
  const PAUSE = 600; // after the last line of a sketch
  const section = () => byId("gmi_searching");
  const here = () => visible() && section() && !section().hidden;
  const most = () => Number(byId("gmi_search_file").dataset.most);

  // -- the query ----------------------------------------------------------------------------------

  let images = [];
  let tags = [];
  let likes = [];
  let like = "";
  let weights = {};
  let kind = "checkpoints";
  let further = false;
  let key = ""; // of the answer that is shown
  let question = 0;
  let later = 0;
  let askedText = ""; // that was asked for last: leaving the box is no new question
  let sketched = false; // a sketch was answered, so every sample has been read as a drawing
  const held = new Set(); // keys of images that Python has

  const text = () => byId("gmi_search_text").value.trim();
  const value = (id) => byId(id).value.trim();
  const titleOf = (name) => (likes.find((one) => one[0] === name) || [name, name])[1];
  const wordsOf = (line) => line.split(",").map((word) => word.trim()).filter(Boolean);
  const given = () => ({ text: text() !== "", image: images.length > 0, style: images.length > 0 && kind === "checkpoints", sketch: pad.drawn(), tags: tags.length > 0, like: like !== "" });
  const empty = () => !Object.values(given()).some(Boolean);
  const sent = (list, again) => list.map((one) => (held.has(one.key) && !again ? { key: one.key } : { key: one.key, data: one.data }));

  function body(again) {
    const parts = given();
    const chosen = Object.fromEntries(Object.entries(weights).filter(([part]) => parts[part]));
    const sketches = parts.sketch ? [pad.picture()] : [];
    return {
      do: "search", kind, further, text: text(), tags, like, weights: chosen,
      all: all("[name=gmi_search_mode]:checked").some((box) => box.value === "all"),
      images: sent(images, again), sketches: sent(sketches, again),
      architectures: pressed("architecture", section()), folders: pressed("folder", section()),
      favourites: pressed("favourites", section()).length > 0,
      pattern: value("gmi_search_pattern"), having: wordsOf(value("gmi_search_having")),
    };
  }

  async function put(again) {
    const asked = body(false);
    let said = await ask("ask", { ...asked, again });
    if (said.resend) said = await ask("ask", { ...body(true), again });
    if (!said.error) for (const one of [...asked.images, ...asked.sketches]) held.add(one.key);
    return said;
  }

  function busy(now) {
    section().classList.toggle("gmi-asking", now);
    byId("gmi_found").setAttribute("aria-busy", String(now));
  }

  /** Searches; a newer question makes an older answer void. */
  async function search(again = false) {
    clearTimeout(later);
    drawParts();
    const mine = ++question;
    askedText = text();
    if (empty()) {
      busy(false);
      key = "";
      return draw("found", emptyFound);
    }
    if (!again) busy(true);
    const said = await put(again);
    if (mine !== question) return;
    if (said.waiting) { // samples are read first; the answer comes by itself
      draw("found", said.html);
      later = setTimeout(() => search(true), AGAIN);
      return;
    }
    busy(false);
    key = said.search || "";
    if (key && given().sketch) sketched = true;
    const place = region("found");
    place.replaceChildren(parse(said.html || ""));
    if (said.error) return;
    fetchPictures();
    showLoaded(current());
  }

  function soon(delay = 200) {
    clearTimeout(later);
    further = false;
    drawParts();
    if (!empty()) busy(true);
    later = setTimeout(search, delay);
  }

  // -- what is looked for, as parts that can be taken away -----------------------------------------

  let emptyFound = "";

  function part(label, what, name, picture) {
    const item = parse('<li class="gmi-part"><span class="gmi-part-text"></span><button type="button" class="gmi-part-remove" data-gmi="search-drop" title="Remove">✕</button></li>').firstChild;
    item.querySelector("span").textContent = label;
    item.dataset.part = what;
    const button = item.querySelector("button");
    button.dataset.part = what;
    button.dataset.name = name;
    button.setAttribute("aria-label", `Remove ${label}`);
    if (picture) {
      const image = document.createElement("img");
      image.src = picture;
      image.alt = "";
      item.prepend(image);
    }
    return item;
  }

  function drawParts() {
    const parts = given();
    const items = [];
    if (parts.text) items.push(part(`“${text()}”`, "text", ""));
    for (const one of images) items.push(part(one.name, "image", one.key, one.data));
    if (parts.sketch) items.push(part(said("Sketch"), "sketch", "", pad.picture().data));
    for (const tag of tags) items.push(part(tag, "tag", tag));
    if (parts.like) items.push(part(titleOf(like), "like", ""));
    if (items.length > 1) items.push(parse('<li><button type="button" class="gmi-link gmi-part-all" data-gmi="search-clear"><span>Clear all</span></button></li>').firstChild);
    byId("gmi_parts").replaceChildren(...items);
    const several = Object.values(parts).filter(Boolean).length > 1;
    byId("gmi_weights").hidden = !several;
    for (const row of all(".gmi-weight")) row.hidden = !parts[row.dataset.part];
    section().classList.toggle("gmi-many-tags", tags.length > 1);
  }

  const said = (words) => (window.localization || {})[words] || words;

  function drawImages() {
    byId("gmi_search_images").classList.toggle("gmi-some", images.length > 0);
    const tiles = images.map((one) => {
      const tile = parse('<li class="gmi-tile"><img alt=""><button type="button" class="gmi-remove" data-gmi="search-drop" title="Remove">✕</button></li>').firstChild;
      const picture = tile.querySelector("img");
      picture.src = one.data;
      picture.alt = picture.title = one.name;
      const button = tile.querySelector("button");
      button.setAttribute("aria-label", `Remove ${one.name}`);
      button.dataset.part = "image";
      button.dataset.name = one.key;
      return tile;
    });
    byId("gmi_search_tiles").replaceChildren(...tiles);
  }

  function drawTags() {
    const chips = tags.map((tag) => {
      const chip = parse('<li class="gmi-tag"><span></span><button type="button" data-gmi="search-drop" title="Remove">✕</button></li>').firstChild;
      chip.querySelector("span").textContent = tag;
      const button = chip.querySelector("button");
      button.setAttribute("aria-label", `Remove ${tag}`);
      button.dataset.part = "tag";
      button.dataset.name = tag;
      return chip;
    });
    byId("gmi_search_chips").replaceChildren(...chips);
  }

  function drawLikes() {
    const box = byId("gmi_search_like");
    const known = like === "" || likes.some((one) => one[0] === like);
    const rows = known ? likes : [...likes, [like, like]];
    const options = rows.map(([name, title]) => Object.assign(document.createElement("option"), { value: name, textContent: title }));
    box.replaceChildren(box.options[0], ...options);
    box.value = like;
  }

  async function add(files) {
    const good = [...files].filter(isImage);
    if (good.length === 0) return toast("There is no image in that.");
    const read = await Promise.all(good.map(async (file) => ({ key: newKey(), data: await dataUrl(file), name: file.name })));
    addImages(read);
  }

  function addImages(read) {
    const fresh = read.filter((one) => !images.some((other) => other.data === one.data));
    if (images.length + fresh.length > most()) toast(`${most()} images at a time are the most.`);
    images = [...images, ...fresh].slice(0, most());
    drawImages();
    if (fresh.length > 0) soon(0);
  }

  /** Turns what was typed into tags; returns whether there was anything. */
  function takeTags() {
    const box = byId("gmi_search_tag");
    const fresh = wordsOf(box.value).filter((tag) => !tags.includes(tag));
    box.value = "";
    if (fresh.length === 0) return false;
    tags = [...tags, ...fresh].slice(0, 50);
    drawTags();
    soon();
    return true;
  }

  function drop(what, name) {
    if (what === "text") byId("gmi_search_text").value = "";
    if (what === "image") images = images.filter((one) => one.key !== name);
    if (what === "sketch") pad.clear();
    if (what === "tag") tags = tags.filter((tag) => tag !== name);
    if (what === "like") like = "";
    drawAll();
  }

  function clear() {
    byId("gmi_search_text").value = byId("gmi_search_tag").value = "";
    images = [];
    tags = [];
    like = "";
    pad.clear();
    drawAll();
  }

  function drawAll() {
    drawImages();
    drawTags();
    drawLikes();
    drawParts();
  }

  function setKind(chosen) {
    kind = chosen;
    for (const box of all("[name=gmi_search_kind]")) box.checked = box.value === chosen;
  }

  // -- the sketch pad: lines are kept, so that any of them can be taken back ------------------------

  const pad = (() => {
    let lines = []; // of {points, width, erase}; one without points clears
    let line = null;
    let erase = false;
    let picture = null;
    const canvas = () => byId("gmi_canvas");
    const sinceCleared = () => lines.slice(lines.findLastIndex((one) => one.points === null) + 1);
    const drawn = () => sinceCleared().some((one) => !one.erase);

    function paint() {
      const context = canvas().getContext("2d");
      context.fillStyle = "#fff";
      context.fillRect(0, 0, canvas().width, canvas().height);
      context.lineCap = context.lineJoin = "round";
      for (const { points, width, erase: rubber } of sinceCleared()) {
        context.strokeStyle = rubber ? "#fff" : "#111";
        context.lineWidth = rubber ? width * 3 : width;
        context.beginPath();
        context.moveTo(...points[0]);
        for (const point of points.slice(1)) context.lineTo(...point);
        if (points.length === 1) context.lineTo(points[0][0] + 0.1, points[0][1]);
        context.stroke();
      }
    }

    function place(event) {
      const box = canvas().getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * canvas().width, ((event.clientY - box.top) / box.height) * canvas().height];
    }

    function changed() {
      picture = null;
      paint();
      drawParts();
      if (sketched) soon(PAUSE);
    }

    function adopt() {
      const surface = canvas();
      surface.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        event.preventDefault();
        surface.setPointerCapture(event.pointerId);
        line = { points: [place(event)], width: Number(byId("gmi_pad_width").value), erase: erase || event.buttons === 32 };
        lines.push(line);
        paint();
      });
      surface.addEventListener("pointermove", (event) => {
        if (!line) return;
        for (const each of event.getCoalescedEvents ? event.getCoalescedEvents() : [event]) line.points.push(place(each));
        paint();
      });
      for (const end of ["pointerup", "pointercancel"]) {
        surface.addEventListener(end, () => {
          if (line) changed();
          line = null;
        });
      }
      paint();
    }

    return {
      adopt, drawn,
      tool(rubber) {
        erase = rubber;
        for (const [action, on] of [["pad-pen", !rubber], ["pad-eraser", rubber]]) for (const button of all(`[data-gmi="${action}"]`)) button.setAttribute("aria-pressed", String(on));
      },
      undo() {
        if (lines.pop()) changed();
      },
      clear() {
        if (sinceCleared().length === 0) return;
        lines.push({ points: null });
        picture = null;
        paint();
      },
      /** The sketch as an image; the same one as long as nothing was drawn. */
      picture() {
        picture = picture || { key: newKey(), data: canvas().toDataURL("image/png") };
        return picture;
      },
    };
  })();

  // -- output folders -----------------------------------------------------------------------------

  let watching = 0;
  let imagesRead = null;

  function drawFolders(state) {
    if (state.error) return alarm(state);
    draw("search-folders", state.html);
    clearTimeout(watching);
    if (state.reading) {
      watching = setTimeout(look, AGAIN);
    } else if (imagesRead !== null && imagesRead !== state.images && key && kind === "samples") {
      soon(); // more images can be found now
    }
    imagesRead = state.reading ? imagesRead : state.images;
  }

  async function look() {
    clearTimeout(watching);
    if (here()) drawFolders(await ask("poll", { do: "search-state" }));
    else watching = setTimeout(look, 3 * AGAIN);
  }

  // -- what people do -----------------------------------------------------------------------------

  function similar(name) {
    for (const dialog of all("dialog[open]")) dialog.close();
    showView("search");
    clear();
    like = name;
    setKind("checkpoints");
    drawAll();
    scrollUp();
    soon(0);
  }

  const scrollUp = () => root().scrollIntoView({ block: "nearest" });

  Object.assign(actions, {
    search() {
      if (!takeTags()) soon(0);
      const answer = section().querySelector(".gmi-answer");
      if (!empty() && answer.getBoundingClientRect().top > window.innerHeight * 0.8) answer.scrollIntoView({ block: "start" }); // it is far below on a phone
    },
    "search-choose": () => byId("gmi_search_file").click(),
    "search-drop"(button) {
      const list = button.closest("ul");
      drop(button.dataset.part, button.dataset.name);
      soon();
      if (document.activeElement === document.body) focusFirst("button", list.isConnected && list.children.length ? list : section());
    },
    "search-clear"() {
      clear();
      soon(0);
    },
    "search-further"() {
      further = true;
      search();
    },
    similar: (button) => similar(button.dataset.name),
    /** The picture that is shown large is the example. */
    async "similar-image"(button) {
      const picture = byId("gmi_lightbox").querySelector(".gmi-stage img");
      const file = await fromAddress(picture.src);
      if (!file) return;
      byId("gmi_lightbox").close();
      clear();
      setKind(button.dataset.name);
      addImages([{ key: newKey(), data: await dataUrl(file), name: said("Found image") }]);
      scrollUp();
    },
    async "search-send"(button) {
      for (const dialog of all("dialog[open]")) dialog.close(); // what is wrong would stand behind it
      alarm(await sendPrompt({ search: key, name: button.dataset.name, hit: Number(button.dataset.hit) || null }));
    },
    async "search-load"(button) {
      byId("gmi_lightbox").close();
      await actions.load(button);
    },
    async "search-export"(button) {
      const answer = await ask("act", { do: "search-export", search: key, format: button.dataset.name });
      alarm(answer);
      if (answer.error) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([answer.content], { type: answer.type }));
      link.download = answer.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    },
    async "search-read"(button) {
      button.disabled = true;
      drawFolders(await ask("act", { do: "search-read", name: button.dataset.name }));
      button.disabled = false;
    },
    async "search-cancel"() {
      drawFolders(await ask("act", { do: "search-cancel" }));
    },
    "pad-pen": () => pad.tool(false),
    "pad-eraser": () => pad.tool(true),
    "pad-undo": () => pad.undo(),
    "pad-clear"() {
      pad.clear();
      soon();
    },
  });

  Object.assign(changes, {
    "search-kind"(box) {
      kind = box.value;
      soon(0);
    },
    "search-mode": () => tags.length > 1 && soon(),
    "search-words": () => !empty() && soon(),
    "search-like"(box) {
      like = box.value;
      soon(0);
    },
    "search-weight"(box) {
      weights[box.dataset.part] = box.valueAsNumber;
      soon();
    },
  });

  document.addEventListener("input", (event) => {
    if (inside(event) && event.target.dataset.gmi === "search-weight") event.target.nextElementSibling.textContent = `×${event.target.valueAsNumber}`;
    if (event.target.id === "gmi_search_tag" && event.target.value.includes(",")) takeTags();
  });

  // In the capture phase: the program's own shortcuts must not fire while somebody works here.
  document.addEventListener("keydown", (event) => {
    if (!here() || !inside(event)) return;
    const { id } = event.target;
    if (event.key === "Enter" && !event.shiftKey && ["gmi_search_text", "gmi_search_tag"].includes(id)) {
      event.preventDefault();
      event.stopPropagation();
      if (id === "gmi_search_text") soon(0);
      else if (!takeTags()) soon(0);
    }
    if (event.key === "Backspace" && id === "gmi_search_tag" && event.target.value === "" && tags.length > 0) {
      tags = tags.slice(0, -1);
      drawTags();
      soon();
    }
  }, true);

  const over = (event) => here() && inside(event);

  document.addEventListener("dragover", (event) => {
    if (!over(event) || !carriesImage(event.dataTransfer)) return;
    event.preventDefault();
    event.stopPropagation();
    event.dataTransfer.dropEffect = "copy";
    root().classList.add("gmi-dropping");
  }, true);
  document.addEventListener("drop", (event) => {
    if (!over(event) || !carriesImage(event.dataTransfer)) return;
    event.preventDefault();
    event.stopPropagation();
    const { files } = event.dataTransfer;
    if (files.length > 0) add([...files]);
    else fromAddress(event.dataTransfer.getData("text/uri-list").split("\n")[0]).then((file) => file && add([file]));
  }, true);
  window.addEventListener("paste", (event) => {
    if (!here()) return;
    const files = [...((event.clipboardData || {}).files || [])].filter(isImage);
    if (files.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    add(files);
  }, true);

  function adopt() {
    emptyFound = region("found").innerHTML;
    pad.adopt();
    drawAll();
    byId("gmi_search_file").addEventListener("change", (event) => {
      add([...event.target.files]);
      event.target.value = "";
    });
    byId("gmi_search_text").addEventListener("change", () => text() !== askedText && soon());
    byId("gmi_search_tags").addEventListener("click", (event) => event.target.closest("button") || byId("gmi_search_tag").focus());
  }

  on("adopt", adopt);
  on("state", (state) => {
    if (!state.likes || JSON.stringify(state.likes) === JSON.stringify(likes)) return;
    likes = state.likes;
    drawLikes();
  });
  on("view", (name) => {
    if (name !== "search") return;
    look();
    if (likes.length === 0) refresh(true);
  });
  on("filter", () => !empty() && soon());

  gmi.search = { similar };
  if (root() && root().dataset.ready) adopt(); // gmi.js was faster
})();

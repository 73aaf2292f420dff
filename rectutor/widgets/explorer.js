// Draws the scenes of rectutor.widgets.scene and their controls. With a kernel, the model is a Jupyter widget's; in a page
// of the book it is a table of frames that answers at once. A mark is [tag, key, attributes, text, tip].
const SVG = "http://www.w3.org/2000/svg";
const MOVE = 140; // milliseconds that marks take to their new places
const NUMBER = /-?\d+\.?\d*/g;
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function make(tag, name, text) {
  const e = document.createElement(tag);
  if (name) e.className = name;
  if (text) e.textContent = text;
  return quiet(e);
}

// In JupyterLab, keys move what has the focus, not the notebook around it.
function quiet(e) {
  if (/^(input|button|svg)$/i.test(e.tagName)) e.dataset.lmSuppressShortcuts = "true";
  return e;
}

// What lies between two values of an attribute: numbers move, everything else jumps.
function between(from, to) {
  const a = from.match(NUMBER), b = to.match(NUMBER), frame = to.split(NUMBER);
  if (!a || !b || a.length != b.length || from.split(NUMBER).join() != frame.join()) return null;
  return t => frame.map((s, n) => n < b.length ? s + (+a[n] + (b[n] - a[n]) * t).toFixed(1) : s).join("");
}

// One panel: an <svg> whose elements follow the marks by key.
function panel(svg, tip) {
  const drawn = new Map();
  let moves = [], timer = 0;

  function step(now) {
    timer = 0;
    const left = [];
    for (const m of moves) {
      m.start ??= now;
      const t = Math.min(1, (now - m.start) / MOVE);
      m.node.setAttribute(m.name, t < 1 ? m.at(1 - (1 - t) ** 3) : m.to);
      if (t < 1) left.push(m);
    }
    moves = left;
    if (moves.length) timer = requestAnimationFrame(step);
  }

  function draw(marks) {
    const keep = new Set(marks.map(mark => mark[1])), calm = still(), first = !drawn.size;
    // first, for whatever stayed between the marks would make every mark after it move
    for (const [key, node] of drawn) if (!keep.has(key)) { node.remove(); drawn.delete(key); }
    let here = svg.firstChild;
    moves = [];
    for (const mark of marks) {
      const [tag, key, attributes, text = "", hint = ""] = mark;
      let node = drawn.get(key);
      if (node && node.tagName != tag) { if (node == here) here = here.nextSibling; node.remove(); node = null; }
      const fresh = !node;
      if (fresh) {
        node = document.createElementNS(SVG, tag);
        node.dataset.key = key;
        node.goals = {};
        if (!first) node.classList.add("rtx-new");
        drawn.set(key, node);
      }
      if (node == here) here = here.nextSibling; else svg.insertBefore(node, here);
      if (node.mark == mark) continue; // frames of a page share their marks: this one stands as it should
      node.mark = mark;
      for (const name in node.goals) if (!(name in attributes)) { node.removeAttribute(name); delete node.goals[name]; }
      for (const name in attributes) {
        const to = attributes[name], now = node.getAttribute(name);
        node.goals[name] = to;
        if (now == to) continue;
        const at = fresh || calm || now == null || /^(fill|stroke|text|font|paint)/.test(name) ? null : between(now, to);
        if (at) { moves.push({ node, name, at, to }); node.mark = null; } else node.setAttribute(name, to);
      }
      if (node.textContent != text) node.textContent = text;
      if (hint) node.dataset.tip = hint; else delete node.dataset.tip;
    }
    const tab = svg.querySelector("[data-tip]") ? 0 : -1;
    if (svg.tabIndex != tab || !svg.hasAttribute("tabindex")) svg.tabIndex = tab;
    if (moves.length && !timer) timer = requestAnimationFrame(step);
  }

  // Hover, touch, and with the keyboard from mark to mark.
  let at = -1;
  const point = e => { const node = e.target.closest("[data-tip]"); if (node) tip.show(node); else tip.hide(); };
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", e => { if (e.pointerType == "mouse") tip.hide(); });
  svg.addEventListener("blur", () => { at = -1; tip.hide(); });
  svg.addEventListener("keydown", e => {
    const nodes = [...svg.querySelectorAll("[data-tip]")];
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    if (e.key == "Escape") tip.hide();
    if (!by || !nodes.length) return;
    e.preventDefault();
    at = at < 0 ? (by > 0 ? 0 : nodes.length - 1) : (at + by + nodes.length) % nodes.length;
    tip.show(nodes[at], true);
  });
  return draw;
}

function hint(box, say) {
  const bubble = make("div", "rtx-tip");
  bubble.hidden = true;
  box.append(bubble);
  return {
    show(node, aloud) {
      bubble.textContent = node.dataset.tip;
      bubble.hidden = false;
      const a = box.getBoundingClientRect(), b = node.getBoundingClientRect(), w = bubble.offsetWidth, h = bubble.offsetHeight;
      bubble.style.left = Math.max(0, Math.min(a.width - w, b.x + b.width / 2 - a.x - w / 2)) + "px";
      bubble.style.top = (b.y - a.y > h + 6 ? b.y - a.y - h - 6 : b.bottom - a.y + 6) + "px";
      if (aloud) say(node.dataset.tip);
    },
    hide() { bubble.hidden = true; },
  };
}

// A control: an element, its position among the stops, and how to set it.
function control(spec, moved) {
  const box = make("div", "rtx-control rtx-" + spec.kind), last = spec.shown.length - 1;
  const out = make("output");
  if (spec.kind == "choice") {
    box.setAttribute("role", "radiogroup");
    box.setAttribute("aria-label", spec.label);
    box.append(make("span", "", spec.label));
    const name = "rtx" + Math.random().toString(36).slice(2);
    const all = spec.shown.map((text, n) => {
      const label = make("label"), input = make("input");
      Object.assign(input, { type: "radio", name, value: n });
      input.dataset.name = spec.name;
      input.addEventListener("change", moved);
      label.append(input, make("span", "", text));
      box.append(label);
      return input;
    });
    return { box, get: () => all.findIndex(i => i.checked), set: at => { all[Math.round(at)].checked = true; } };
  }
  const label = make("label"), input = make("input");
  input.dataset.name = spec.name;
  if (spec.kind == "toggle") {
    input.type = "checkbox";
    input.addEventListener("change", moved);
    label.append(input, make("span", "", spec.label));
    box.append(label);
    return { box, get: () => +input.checked, set: at => { input.checked = at > 0; } };
  }
  Object.assign(input, { type: "range", min: 0, max: last, step: 1 });
  const say = text => { out.textContent = text; input.setAttribute("aria-valuetext", text); };
  input.addEventListener("input", () => { halt(); say(spec.shown[input.value]); moved(); });
  label.append(make("span", "", spec.label), input);
  box.append(label, out);
  let timer = 0, halt = () => {};
  if (spec.kind == "steps") {
    const play = make("button", "", "\u25b6");
    play.type = "button";
    halt = () => { clearInterval(timer); timer = 0; play.textContent = "\u25b6"; play.setAttribute("aria-label", "Play " + spec.label); };
    play.addEventListener("click", () => {
      if (timer) return halt();
      let n = +input.value == last ? -1 : +input.value;
      play.textContent = "\u275a\u275a";
      play.setAttribute("aria-label", "Pause " + spec.label);
      const next = () => {
        if (!box.isConnected) return halt();
        if (moved.waiting()) return;
        input.value = ++n;
        say(spec.shown[n]);
        moved();
        if (n == last) halt();
      };
      timer = setInterval(next, 1000 * spec.seconds);
      next();
    });
    halt();
    box.append(play);
  }
  return { box, get: () => +input.value, set: (at, shown) => { input.value = Math.round(at); say(shown); } };
}

function render({ model, el }) {
  const spec = model.get("_spec");
  const figure = el.matches(".rtx") ? el : make("figure", "rt rtx");
  const controls = make("div", "rtx-controls"), panels = make("div", "rtx-panels"), says = make("p", "rtx-says");
  const aloud = make("div", "rtx-aloud"), question = make("p", "rtx-question", spec.question);
  aloud.setAttribute("role", "status");
  figure.setAttribute("aria-label", spec.title);
  figure.replaceChildren(make("figcaption", "rtx-title", spec.title), controls, panels, says, question, aloud);
  if (figure != el) el.append(figure);

  let later = 0, slow = 0, id = 0, waiting = false, again = false; // id: of the request under way
  const say = text => { clearTimeout(later); later = setTimeout(() => { aloud.textContent = text; }, 400); };
  const tip = hint(panels, say);
  const draws = [];

  function ask() {
    if (waiting) { again = true; return; }
    waiting = true;
    slow = setTimeout(() => { says.textContent = "Waiting for the kernel; if nothing comes, run the cell again."; }, 3000);
    id = Math.random(); // other views of the same model ask, too
    model.set("_request", { id, at: all.map(c => c.get()) });
    model.save_changes();
  }
  ask.waiting = () => waiting;

  function show() {
    const frame = model.get("_frame");
    if (waiting && frame.id != 0 && frame.id != id) return; // the answer to another view's request
    clearTimeout(slow);
    waiting = false;
    if (again) { again = false; ask(); } else all.forEach((c, n) => c.set(frame.at[n], frame.shown[n]));
    figure.classList.toggle("rtx-failed", "error" in frame);
    if ("error" in frame) { says.textContent = frame.error; say(frame.error); return; }
    frame.panels.forEach((p, n) => {
      if (!draws[n]) {
        const svg = quiet(document.createElementNS(SVG, "svg"));
        svg.setAttribute("role", "img");
        panels.append(svg);
        draws[n] = Object.assign(panel(svg, tip), { svg });
      }
      const { svg } = draws[n];
      const box = `0 0 ${p.w} ${p.h}`; // set again, even to what it is, it would cost a new layout of all marks
      if (svg.getAttribute("viewBox") != box) svg.setAttribute("viewBox", box);
      svg.style.width = p.w + "px";
      svg.setAttribute("aria-label", frame.says);
      draws[n](p.marks);
    });
    while (draws.length > frame.panels.length) draws.pop().svg.remove();
    tip.hide();
    if (says.textContent && says.textContent != frame.says) say(frame.says);
    says.textContent = frame.says;
  }

  const all = spec.controls.map(c => control(c, ask));
  controls.append(...all.map(c => c.box));
  model.on("change:_frame", show);
  show();
  return () => model.off("change:_frame", show);
}

// A page of the book: every figure with a table of frames becomes a model that answers by looking up.
function start(figure) {
  const { spec, frame, table } = JSON.parse(figure.querySelector("script").textContent);
  const counts = spec.controls.map(c => c.shown.length);
  const at = (request, id) => {
    const [says, ...shown] = table.frames[request.reduce((n, stop, c) => n * counts[c] + stop, 0)];
    return {
      id, at: request, says, shown: request.map((stop, c) => spec.controls[c].shown[stop]),
      panels: shown.map((marks, n) => ({ w: table.sizes[n][0], h: table.sizes[n][1], marks: marks.map(m => table.marks[m]) })),
    };
  };
  const state = { _spec: spec, _frame: at(frame.at, 0) }, listeners = [];
  render({
    el: figure,
    model: {
      get: name => state[name],
      set(name, value) { state[name] = value; },
      save_changes() { state._frame = at(state._request.at, state._request.id); listeners.forEach(f => f()); },
      on: (event, f) => listeners.push(f),
      off() {},
    },
  });
}

function startAll() {
  for (const figure of document.querySelectorAll("figure.rtx:has(> script)")) {
    const there = [...figure.childNodes], note = figure.querySelector(".rtx-still");
    try { start(figure); } catch (error) { // the still picture stays, and the others go on
      figure.replaceChildren(...there);
      note.textContent = "The controls could not start: " + error;
      reportError(error);
    }
  }
}

export default { render, startAll };

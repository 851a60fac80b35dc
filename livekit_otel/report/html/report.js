"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { turns, kinds, stages, latencies } = data;
  const $ = (id) => document.getElementById(id);
  const make = (tag, text, cls) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (cls) node.className = cls;
    return node;
  };
  const seconds = (ms, digits = 2) => (ms / 1000).toFixed(digits);
  const clock = (ms) => `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // theme ----------------------------------------------------------------------------------------------------------
  const dark = matchMedia("(prefers-color-scheme: dark)");
  $("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    draw();
  });
  dark.addEventListener("change", () => draw());

  // time line ------------------------------------------------------------------------------------------------------
  const canvas = $("timeline");
  const lanes = ["user", "agent", ...kinds.filter((kind) => turns.some((turn) => turn.s.some((one) => kinds[one[0]] === kind)))];
  const GUTTER = 84;
  let from = 0, to = Math.max(1000, data.length), selected = 0;
  const starts = turns.map((turn) => turn.a);
  const clamp = () => {
    const width = Math.min(Math.max(to - from, 500), Math.max(1000, data.length));
    from = Math.min(Math.max(0, from), Math.max(0, data.length - width));
    to = from + width;
  };
  function draw() {
    clamp();
    const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * scale; canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.clearRect(0, 0, width, height);
    const row = (height - 24) / lanes.length, x = (ms) => GUTTER + ((ms - from) / (to - from)) * (width - GUTTER - 8);
    pen.font = "12px system-ui, sans-serif"; pen.textBaseline = "middle";
    lanes.forEach((lane, number) => {
      pen.fillStyle = colour("muted"); pen.fillText(lane, 10, row * (number + 0.5));
      pen.fillStyle = colour("line"); pen.fillRect(GUTTER, row * (number + 1) - 0.5, width, 0.5);
    });
    const raw = (to - from) / 8;
    const step = [100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000].find((one) => one >= raw) || 3600000;
    pen.fillStyle = colour("muted");
    let free = 0;
    for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) {
      const label = step < 1000 ? `${seconds(tick, 1)} s` : clock(tick), wide = pen.measureText(label).width;
      const left = Math.min(x(tick) + 2, width - wide - 2);
      if (left < free) continue;
      pen.fillText(label, left, height - 11);
      free = left + wide + 6;
    }
    const paint = (lane, start, length, name, alpha) => {
      const left = Math.max(GUTTER, x(start)), right = x(start + length);
      if (right < GUTTER || left > width) return;
      pen.globalAlpha = alpha; pen.fillStyle = colour(name);
      pen.fillRect(left, row * lane + row * 0.2, Math.max(1.5, right - left), row * 0.6);
      pen.globalAlpha = 1;
    };
    const first = Math.max(0, starts.findIndex((start) => start > from) - 40);
    const palette = {};
    for (let number = starts[starts.length - 1] <= from ? Math.max(0, turns.length - 40) : first; number < turns.length; number++) {
      const turn = turns[number];
      if (turn.a > to) break;
      const on = number === selected;
      if (on) { pen.fillStyle = colour("focus"); pen.globalAlpha = 0.1; pen.fillRect(Math.max(GUTTER, x(turn.a)), 0, Math.max(2, x(turn.b) - Math.max(GUTTER, x(turn.a))), height - 22); pen.globalAlpha = 1; }
      for (const [kind, start, length] of turn.s) {
        const name = kinds[kind], lane = lanes.indexOf(name);
        paint(lane, turn.a + start, length, palette[name] || (palette[name] = name), on ? 1 : 0.75);
        if (name === "vad" || (name === "stt" && !lanes.includes("vad"))) paint(0, turn.a + start, length, "user", on ? 1 : 0.8);
        if (name === "playback") paint(1, turn.a + start, length, "agent", on ? 1 : 0.8);
      }
    }
  }
  const zoom = (factor, at = 0.5) => {
    const centre = from + (to - from) * at, width = (to - from) * factor;
    from = centre - width * at; to = centre + width * (1 - at);
    draw();
  };
  const pan = (share) => { const by = (to - from) * share; from += by; to += by; draw(); };
  $("in").addEventListener("click", () => zoom(0.5));
  $("out").addEventListener("click", () => zoom(2));
  $("all").addEventListener("click", () => { from = 0; to = Math.max(1000, data.length); draw(); });
  const share = (event) => (event.offsetX - GUTTER) / Math.max(1, canvas.clientWidth - GUTTER);
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && Math.abs(event.deltaX) > Math.abs(event.deltaY)) { event.preventDefault(); pan(event.deltaX / 800); }
    else if (event.ctrlKey || event.shiftKey || document.activeElement === canvas) { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : 0.8, share(event)); }
  }, { passive: false });
  const hit = (event) => {
    const at = from + (to - from) * share(event);
    let best = -1;
    turns.forEach((turn, number) => { if (turn.a <= at && at <= turn.b) best = number; });
    return best;
  };
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, from, to, moved: false }; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const by = ((drag.x - event.clientX) / Math.max(1, canvas.clientWidth - GUTTER)) * (drag.to - drag.from);
    if (Math.abs(drag.x - event.clientX) > 4) drag.moved = true;
    if (drag.moved) { from = drag.from + by; to = drag.to + by; draw(); }
  });
  canvas.addEventListener("pointerup", (event) => {
    const moved = drag && drag.moved; drag = null;
    if (!moved) { const number = hit(event); if (number >= 0) select(number, false); }
  });
  canvas.addEventListener("keydown", (event) => {
    const action = { "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1.4), ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), Home: () => { from = 0; to = Math.max(1000, data.length); draw(); } }[event.key];
    if (action) { event.preventDefault(); action(); }
  });

  // turns ----------------------------------------------------------------------------------------------------------
  const list = $("turns");
  let order = [], shown = 0, slowest = true;
  const longest = Math.max(1, ...turns.map((turn) => turn.k || 0));
  const named = (parts) => parts.map(([stage, ms]) => `${stages[stage]} ${seconds(ms)} s`).join(", ");
  const waits = (turn) => {
    const dead = turn.g.reduce((sum, [, length]) => sum + length, 0);
    if (turn.w === null) return dead ? `${seconds(dead)} s` : "–";
    return `${seconds(turn.w)}${dead ? ` + ${seconds(dead)}` : ""} s`;
  };
  const bar = (turn) => {
    const node = make("span", undefined, "bar");
    node.setAttribute("role", "img");
    const later = turn.g.flatMap(([, , parts]) => parts);
    const said = named(turn.p), waited = named(later);
    node.setAttribute("aria-label", [said || "no wait", ...(waited ? [`later silences: ${waited}`] : [])].join("; "));
    for (const [parts, name] of [[turn.p, ""], [later, "later"]]) {
      for (const [stage, ms] of parts) {
        const part = make("i", undefined, name);
        part.style.width = `${(ms / longest) * 100}%`;
        part.style.background = `var(--${stages[stage]})`;
        part.title = `${name ? "later silence, " : ""}${stages[stage]} ${seconds(ms)} s`;
        node.append(part);
      }
    }
    return node;
  };
  const entry = (number) => {
    const turn = turns[number], item = make("li");
    item.id = `turn-${number}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(number === selected));
    const middle = make("span");
    if (turn.p.length || turn.g.length) middle.append(bar(turn));
    middle.append(make("span", `${turn.x ? `not answered (${turn.x}): ` : ""}${turn.u || turn.t || "–"}`, "words"));
    if (turn.f.length) {
      const marks = make("span", undefined, "marks");
      for (const [name, text] of turn.f) {
        const mark = make("b", name, "flag");
        mark.title = text;
        marks.append(mark);
      }
      middle.append(marks);
    }
    item.append(make("span", `#${turn.i}`, "number"), middle, make("span", waits(turn), turn.e === "interrupted" ? "wait cut" : "wait"));
    item.addEventListener("click", () => select(number, true));
    return item;
  };
  const more = (count) => {
    for (const number of order.slice(shown, shown + count)) list.append(entry(number));
    shown = Math.min(order.length, shown + count);
  };
  function fill() {
    order = turns.map((_, number) => number);
    if (slowest) order.sort((one, other) => (turns[other].k ?? -1) - (turns[one].k ?? -1) || one - other);
    list.replaceChildren(); shown = 0; more(60);
    $("order").textContent = slowest ? "slowest first" : "in order";
    $("order").setAttribute("aria-pressed", String(slowest));
  }
  list.addEventListener("scroll", () => { if (list.scrollTop + list.clientHeight > list.scrollHeight - 200) more(60); });
  $("order").addEventListener("click", () => { slowest = !slowest; fill(); });
  list.addEventListener("keydown", (event) => {
    const at = order.indexOf(selected);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: order.length - 1, PageDown: at + 10, PageUp: at - 10 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(order[Math.min(order.length - 1, Math.max(0, next))], true);
  });
  function select(number, reveal) {
    const before = $(`turn-${selected}`);
    if (before) before.setAttribute("aria-selected", "false");
    selected = number;
    while (!$(`turn-${number}`) && shown < order.length) more(200);
    const item = $(`turn-${number}`);
    if (item) {
      item.setAttribute("aria-selected", "true");
      list.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    }
    const turn = turns[number];
    if (reveal && (turn.a < from || turn.b > to || to - from > 20 * (turn.b - turn.a + 1))) {
      const width = Math.max(4000, (turn.b - turn.a) * 1.6);
      from = turn.a - width * 0.15; to = from + width;
    }
    detail(turn); draw();
  }
  function rows(table, values) {
    for (const value of values) {
      const row = make("tr");
      value.forEach((cell, column) => row.append(make("td", cell, column ? "n" : "")));
      table.append(row);
    }
  }
  function detail(turn) {
    const box = $("detail"), words = (who, text) => { const p = make("p"); p.append(make("span", who, "speaker"), document.createTextNode(text)); return p; };
    box.replaceChildren(make("h3", `Turn ${turn.i} at ${clock(turn.a)}, ${turn.e || "end missing"}${turn.x ? ", not answered" : ""}`));
    if (turn.u) box.append(words("user", turn.u));
    if (turn.t) box.append(words("agent", turn.t));
    if (turn.p.length || turn.g.length) { box.append(bar(turn)); }
    const group = (title, values) => {
      if (!values.length) return;
      const table = make("table");
      rows(table, values);
      box.append(make("h4", title), table);
    };
    group("silence", turn.p.map(([stage, ms]) => [stages[stage], `${seconds(ms, 3)} s`]));
    group("dead air: when, how long, and what for", turn.g.map(([start, length, parts]) => [`${clock(start)} + ${seconds(length, 3)} s`, named(parts)]));
    group("latency", turn.l.map(([name, ms]) => [latencies[name], `${seconds(ms, 3)} s`]));
    group("stages: when, and how long", turn.s.map(([kind, start, length, label, outcome]) => [`${kinds[kind]}${label ? ` ${label}` : ""}${outcome ? `, ${outcome}` : ""}`, `${clock(turn.a + start)} + ${seconds(length, 2)} s`]));
    for (const [, text] of turn.f) box.append(make("p", text, "flag"));
    for (const note of turn.n) box.append(make("p", note));
  }

  if (turns.length) { fill(); select(order[0], false); } else { $("detail").textContent = "No turns."; draw(); }
  addEventListener("resize", draw);
  document.documentElement.dataset.ready = "true";
})();

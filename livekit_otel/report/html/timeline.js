// The timeline: lanes of stages, or a strip of waits if many turns are in view.
const canvas = $("timeline");
const lanes = ["user", "agent", ...kinds.filter((kind) => turns.some((turn) => turn.s.some((one) => kinds[one[0]] === kind)))];
const GUTTER = 84, FOOT = 22, MANY = 60;
const SCALES = [100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000];
const whole = Math.max(1000, data.length);
let from = 0, to = whole, palette = null;

const colour = (name) => {
  palette ||= new Map();
  if (!palette.has(name)) palette.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return palette.get(name);
};
const clamp = () => {
  const width = Math.min(Math.max(to - from, 500), whole);
  from = Math.min(Math.max(0, from), whole - width);
  to = from + width;
};
const inView = () => turns.filter((turn) => turn.b >= from && turn.a <= to);

// reading the size while the page changes would force a layout
let size = null;
const measured = () => {
  if (!size) {
    const scale = window.devicePixelRatio || 1;
    size = [canvas.clientWidth, canvas.clientHeight, scale];
    canvas.width = size[0] * scale;
    canvas.height = size[1] * scale;
  }
  return size;
};
const say = (text) => { if ($("lanes-note").textContent !== text) $("lanes-note").textContent = text; };

function draw() {
  clamp();
  const [width, height, scale] = measured(), pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const x = (ms) => GUTTER + ((ms - from) / (to - from)) * (width - GUTTER - 8);
  const shown = inView(), strip = shown.length > MANY;
  ticks(pen, x, width, height);
  if (strip) drawStrip(pen, x, shown, width, height - FOOT);
  else drawLanes(pen, x, shown, width, height - FOOT);
  canvas.dataset.view = strip ? "strip" : "lanes";
  say(strip ? `the wait of each turn; zoom in below ${MANY} turns for the stages` : "drag to move, + and − to zoom, Enter opens a turn");
}
function ticks(pen, x, width, height) {
  const raw = (to - from) / 8, step = SCALES.find((one) => one >= raw) || 3600000;
  pen.fillStyle = colour("muted");
  let free = 0;
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) {
    const label = step < 1000 ? seconds(tick, 1) : clock(tick), wide = pen.measureText(label).width;
    const left = Math.min(x(tick) + 2, width - wide - 2);
    if (left < free) continue;
    pen.fillText(label, left, height - 10);
    free = left + wide + 6;
  }
}
const highlight = (pen, x, turn, height) => {
  const left = Math.max(GUTTER, x(turn.a));
  pen.globalAlpha = 0.13;
  pen.fillStyle = colour("focus");
  pen.fillRect(left, 0, Math.max(3, x(turn.b) - left), height);
  pen.globalAlpha = 1;
};
function drawLanes(pen, x, shown, width, height) {
  const row = height / lanes.length, now = current?.turn;
  lanes.forEach((lane, number) => {
    pen.fillStyle = colour("muted");
    pen.fillText(lane, 10, row * (number + 0.5));
    pen.fillStyle = colour("line");
    pen.fillRect(GUTTER, row * (number + 1) - 0.5, width, 0.5);
  });
  const paint = (lane, start, length, name) => {
    const left = Math.max(GUTTER, x(start)), right = x(start + length);
    if (right < GUTTER || left > width) return;
    pen.fillStyle = colour(name);
    pen.fillRect(left, row * lane + row * 0.2, Math.max(1.5, right - left), row * 0.6);
  };
  if (now && shown.includes(now)) highlight(pen, x, now, height);
  for (const turn of shown) {
    for (const [kind, start, length] of turn.s) {
      const name = kinds[kind];
      paint(lanes.indexOf(name), turn.a + start, length, name);
      if (name === "vad" || (name === "stt" && !lanes.includes("vad"))) paint(0, turn.a + start, length, "user");
      if (name === "playback") paint(1, turn.a + start, length, "agent");
    }
  }
}
function drawStrip(pen, x, shown, width, height) {
  const waits = shown.map((turn) => turn.k || 0).sort((one, other) => one - other);
  // a single very long wait must not flatten all others
  const most = Math.max(500, Math.min(waits[waits.length - 1], (waits[Math.floor(waits.length / 2)] || 500) * 6));
  const y = (ms) => height - 14 - (Math.min(ms, most) / most) * (height - 26);
  pen.fillStyle = colour("muted");
  pen.fillText("wait", 10, 14);
  pen.fillText(seconds(most, 1), 10, 30);
  pen.fillText("0 s", 10, height - 14);
  if (current?.turn) highlight(pen, x, current.turn, height);
  const step = Math.max(1, ((width - GUTTER - 8) / shown.length) * 0.7);
  for (const turn of shown) {
    const left = x(turn.a);
    let below = 0;
    for (const [path, later] of [[turn.p, false], ...turn.gaps.map((entry) => [entry[3], true])]) {
      pen.globalAlpha = later ? 0.55 : 1;
      for (const [stage, ms] of path) {
        pen.fillStyle = colour(stages[stage]);
        pen.fillRect(left, y(below + ms), step, Math.max(0, y(below) - y(below + ms)));
        below += ms;
      }
    }
    pen.globalAlpha = 1;
    if (below > most) { pen.fillStyle = colour("mark"); pen.fillRect(left, 6, step, 3); }
    if (turn.f.length) { pen.fillStyle = colour(never(turn) || turn.f.some(([name]) => name === "failed") ? "mark" : "warn"); pen.fillRect(left, height - 10, step, 6); }
  }
}

// the pointer --------------------------------------------------------------------------------------------------------
const zoom = (factor, at = 0.5) => {
  const centre = from + (to - from) * at, width = (to - from) * factor;
  from = centre - width * at;
  to = centre + width * (1 - at);
  draw();
};
const overview = () => { from = 0; to = whole; draw(); };
$("in").addEventListener("click", () => zoom(0.5));
$("out").addEventListener("click", () => zoom(2));
$("all").addEventListener("click", overview);
const share = (event) => (event.offsetX - GUTTER) / Math.max(1, canvas.clientWidth - GUTTER - 8);
canvas.addEventListener("wheel", (event) => {
  if (event.ctrlKey || event.shiftKey || document.activeElement === canvas) { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : 0.8, share(event)); }
}, { passive: false });
const at = (event) => {
  const ms = from + (to - from) * share(event), near = (to - from) / 200;
  return inView().filter((turn) => turn.a - near <= ms && ms <= turn.b + near).pop();
};
let drag = null;
canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, from, to, moved: false }; canvas.setPointerCapture(event.pointerId); });
canvas.addEventListener("pointermove", (event) => {
  if (!drag) { const turn = at(event); if (turn) describe(turn, event.clientX, event.clientY); else hideTip(); return; }
  const by = ((drag.x - event.clientX) / Math.max(1, canvas.clientWidth - GUTTER)) * (drag.to - drag.from);
  if (Math.abs(drag.x - event.clientX) > 4) drag.moved = true;
  if (drag.moved) { hideTip(); from = drag.from + by; to = drag.to + by; draw(); }
});
canvas.addEventListener("pointerup", (event) => {
  const moved = drag && drag.moved;
  drag = null;
  const turn = moved ? null : at(event);
  if (turn) { hideTip(); location.hash = `#turn-${turn.i}`; reveal(byIndex.get(turn.i)); }
});
canvas.addEventListener("pointerleave", hideTip);
canvas.addEventListener("blur", hideTip);
const describe = (turn, left, top) => {
  const first = turn.c.find((entry) => entry[0] === USER || entry[0] === AGENT);
  const lines = [`turn ${turn.i} at ${clock(turn.a)}, ${END(turn.e)}`];
  if (first?.[2]) lines.push(first[2].length > 120 ? `${first[2].slice(0, 120)}…` : first[2]);
  if (turn.w !== undefined) lines.push(`wait ${seconds(turn.w)}: ${named(turn.p)}`);
  if (dead(turn)) lines.push(`dead air ${seconds(dead(turn))}: ${named(turn.gaps.flatMap((entry) => entry[3]))}`);
  showTip(left, top, [...lines, ...turn.f.map(([, text]) => text)]);
};

// the keyboard: arrows select the previous or next turn, Enter opens it ----------------------------------------------
const step = (by) => {
  if (!turns.length) return;
  const now = turns.indexOf(current?.turn);
  const next = turns[Math.max(0, Math.min(turns.length - 1, now < 0 ? 0 : now + by))];
  choose(byIndex.get(next.i));
  if (next.a < from || next.b > to) { const width = to - from; from = next.a - width * 0.1; to = from + width; }
  draw();
  const box = canvas.getBoundingClientRect(), middle = (Math.max(next.a, from) + Math.min(next.b, to)) / 2;
  describe(next, box.left + GUTTER + ((middle - from) / (to - from)) * (box.width - GUTTER - 8), box.top + 40);
};
canvas.addEventListener("keydown", (event) => {
  const action = {
    "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1.4), Home: overview, Escape: hideTip,
    ArrowLeft: () => step(-1), ArrowRight: () => step(1),
    Enter: () => { hideTip(); if (current?.turn) { location.hash = `#turn-${current.turn.i}`; reveal(current); } },
  }[event.key];
  if (action) { event.preventDefault(); action(); }
});

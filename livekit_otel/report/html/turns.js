// The conversation: a block for each turn, and for the entries between turns.
const blocks = [];
const byIndex = new Map();
let current = null;

const copyText = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", "", text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};
const turnText = (turn) => [
  `Turn ${turn.i} at ${clock(turn.a)} (${absolute(turn.a)}), ${END(turn.e)}${never(turn) ? ", never answered" : ""}`,
  ...turn.c.map((entry) => entryText(entry, turn)),
  ...turn.f.map(([, text]) => `        flag: ${text}`),
  ...turn.n.map((note) => `        note: ${note}`),
].join("\n");

const table = (title, rows) => {
  if (!rows.length) return "";
  const node = make("table", "");
  for (const row of rows) node.append(make("tr", "", ...row.map((cell, column) => make("td", column ? "n" : "", cell))));
  return make("div", "group", make("h4", "", title), make("div", "scroll", node));
};
const detail = (turn) => {
  const silence = (path) => path.map(([stage, ms]) => [term(stages[stage]), seconds(ms, 3)]);
  const box = make("div", "detail",
    table("the wait, in order", silence(turn.p)),
    ...turn.gaps.map((entry) => table(`dead air at ${clock(entry[1])}`, silence(entry[3]))),
    table("latency", turn.l.map(([name, ms]) => [term(latencies[name]), seconds(ms, 3)])),
    table("stages", turn.s.map(([kind, start, length, label, outcome]) => [
      make("span", "", term(kinds[kind]), label ? ` ${label}` : "", outcome ? `, ${outcome}` : ""), `${clock(turn.a + start)} for ${seconds(length)}`,
    ])));
  for (const note of turn.n) box.append(words("p", "muted", note));
  if (turn.m.length) box.append(words("p", "muted", `models: ${turn.m.join(", ")}`));
  return box;
};

const open = (block, wanted) => {
  const shown = wanted ?? !block.open;
  block.open = shown;
  if (shown && !block.detail) {
    block.detail = detail(block.turn);
    block.node.append(block.detail);
  }
  if (block.detail) block.detail.hidden = !shown;
  block.more?.setAttribute("aria-expanded", String(shown));
};
const head = (block) => {
  const { turn } = block, node = make("header", "");
  const link = make("a", "number", `turn ${turn.i}`);
  link.href = `#turn-${turn.i}`;
  node.append(link, time(turn.a));
  if (turn.h) node.append(words("span", "muted", turn.h));
  if (turn.e !== "completed" && !turn.f.some(([name]) => name === turn.e)) node.append(term(END(turn.e).replaceAll("_", " ")));
  for (const [name, text] of turn.f) {
    const mark = term(name.replaceAll("_", " "), name.replaceAll("_", " "));
    mark.className = `flag ${name}`;
    mark.title = `${text}. ${glossary[name.replaceAll("_", " ")] || ""}`;
    node.append(mark);
  }
  const copy = button("quiet", "copy", `Copy turn ${turn.i} as text`, async () => {
    await copyText(turnText(turn));
    copy.textContent = "copied";
    setTimeout(() => { copy.textContent = "copy"; }, 1500);
  });
  block.more = button("quiet", "details", `Details of turn ${turn.i}`, () => { choose(block); open(block); });
  block.more.setAttribute("aria-expanded", "false");
  node.append(make("span", "buttons", block.more, copy, turn.u ? traceLink(turn.u) : ""));
  return node;
};
const build = (part, number) => {
  const turn = part.i === undefined ? null : part;
  const block = { turn, part, number, open: false, filled: false, detail: null, words: null, node: make("article", turn ? "turn" : "between") };
  block.node.block = block;
  block.node.tabIndex = -1;
  if (turn) {
    block.node.id = `turn-${turn.i}`;
    block.node.setAttribute("aria-label", `Turn ${turn.i}`);
    byIndex.set(turn.i, block);
  }
  blocks.push(block);
  return block.node;
};
const fill = (block) => {
  if (block.filled) return;
  block.filled = true;
  const { turn, part, node } = block, toggle = () => { choose(block); open(block); };
  const shown = part.c.map((entry) => entryNode(entry, turn, toggle));
  if (turn) {
    const flags = turn.f.filter(([name]) => name === "never_answered" || name === "false_cutoff");
    shown.unshift(head(block), ...flags.map(([, text]) => words("p", "row flagged", text)));
    if (!part.c.length) shown.push(make("p", "muted row", "nothing was said"));
  }
  node.append(...shown);
  if (block !== current) for (const inner of node.querySelectorAll("button, a")) inner.tabIndex = -1;
};
// blocks in view are filled immediately, the others when idle, so that the browser's own search finds the whole call
const fillRest = (at = 0) => {
  const end = performance.now() + 12;
  while (at < blocks.length && performance.now() < end) { fill(blocks[at]); wordsOf(blocks[at]); at += 1; }
  if (at < blocks.length) setTimeout(fillRest, 0, at);
  else document.documentElement.dataset.filled = "true";
};
const fillAll = () => blocks.forEach(fill);

// Tab stops only at one turn and its buttons; arrows move between turns
const stops = (block, on) => {
  block.node.tabIndex = on ? 0 : -1;
  for (const node of block.node.querySelectorAll("button, a")) node.tabIndex = on ? 0 : -1;
};
const choose = (block) => {
  if (current === block) return;
  if (current) { stops(current, false); current.node.removeAttribute("aria-current"); }
  current = block;
  fill(block);
  stops(block, true);
  block.node.setAttribute("aria-current", "true");
};
const scrollTo = (block, where) => {
  const at = ordered.indexOf(block);
  ordered.slice(Math.max(0, at - 4), at + 8).forEach(fill);
  const place = () => block.node.scrollIntoView({ block: where });
  place();
  // blocks only get their real height once they have been in view
  requestAnimationFrame(() => { place(); requestAnimationFrame(place); });
};
const reveal = (block, { focus = true, details = true } = {}) => {
  if (block.node.hidden) clearFilters();
  choose(block);
  if (details && block.turn) open(block, true);
  scrollTo(block, "start");
  if (focus) block.node.focus({ preventScroll: true });
};
let ordered = blocks;
const shownBlocks = () => ordered.filter((block) => !block.node.hidden);

const fillConversation = () => {
  $("conversation").append(...parts.map(build));
  if (!blocks.length) $("conversation").append(make("p", "muted", "Nothing was said in this call."));
  else choose(blocks[0]);
  blocks.slice(0, 30).forEach(fill);
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) { fill(target.block); seen.unobserve(target); }
  }, { rootMargin: "800px" });
  for (const block of blocks.slice(30)) seen.observe(block.node);
};
addEventListener("beforeprint", fillAll);
$("conversation").addEventListener("click", (event) => {
  const node = event.target.closest("article");
  if (node) choose(node.block);
});
$("conversation").addEventListener("keydown", (event) => {
  const node = event.target.closest("article");
  if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" && event.target === node && node.block.turn) { event.preventDefault(); open(node.block); return; }
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const shown = shownBlocks(), at = shown.indexOf(node.block);
  reveal(shown[Math.max(0, Math.min(shown.length - 1, at + step))], { details: false });
});

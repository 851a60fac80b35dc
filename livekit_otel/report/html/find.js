// Search, filters and order. The selected turn keeps its position.
const FILTERS = { slow: "slow", dead_air: "dead air", interrupted: "interrupted", failed: "failed", never_answered: "never answered", flagged: "flagged" };
const chosen = new Set();
let sought = "";

const plain = (text) => text.normalize("NFKC").replace(/[\u200c\u200d]/g, "").toLowerCase();
const wordsOf = (block) => {
  block.words ??= plain([...block.part.c.map((entry) => entryText(entry, block.turn)), ...(block.turn ? block.turn.f.map(([, text]) => text) : [])].join("\n"));
  return block.words;
};
const hasFailure = (part) => part.c.some((entry) => (entry[0] === FAILURE && !entry[3]) || (entry[0] === TOOL && entry[8]));
const has = (block, name) => {
  const flags = block.turn ? block.turn.f.map(([flag]) => flag) : [];
  if (name === "flagged") return flags.length > 0;
  return flags.includes(name) || (name === "failed" && hasFailure(block.part));
};
const matches = (block) => (!chosen.size || [...chosen].some((name) => has(block, name))) && (!sought || wordsOf(block).includes(sought));

// matches are highlighted without changing the DOM
const markFound = (shown) => {
  if (!globalThis.CSS?.highlights) return;
  CSS.highlights.delete("found");
  if (sought.length < 2) return;
  const ranges = [];
  for (const block of shown.slice(0, 60)) {
    fill(block);
    const walker = document.createTreeWalker(block.node, NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && ranges.length < 500) {
      const text = walker.currentNode.data.toLowerCase();
      for (let at = text.indexOf(sought); at >= 0; at = text.indexOf(sought, at + sought.length)) {
        const range = new Range();
        range.setStart(walker.currentNode, at);
        range.setEnd(walker.currentNode, at + sought.length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
};
const apply = () => {
  const shown = [];
  for (const block of blocks) {
    const on = matches(block);
    block.node.hidden = !on;
    if (on) shown.push(block);
  }
  const all = turns.length.toLocaleString("en"), found = shown.filter((block) => block.turn).length.toLocaleString("en");
  $("found").textContent = sought || chosen.size ? `${found} of ${all} turns` : `${all} turn${turns.length === 1 ? "" : "s"}`;
  if (shown.length && (!current || current.node.hidden)) choose(shown[0]);
  draw();
  requestAnimationFrame(() => markFound(shown));
};
const clearFilters = () => {
  chosen.clear();
  sought = $("search").value = "";
  for (const one of $("filters").children) one.setAttribute("aria-pressed", "false");
  apply();
};
for (const [name, text] of Object.entries(FILTERS)) {
  const count = () => blocks.filter((block) => block.turn && has(block, name)).length;
  const one = button("filter", text, "", () => {
    const on = !chosen.delete(name);
    if (on) chosen.add(name);
    one.setAttribute("aria-pressed", String(on));
    apply();
  });
  one.dataset.name = name;
  one.setAttribute("aria-pressed", "false");
  one.count = count;
  if (glossary[text]) one.title = glossary[text];
  $("filters").append(one);
}
$("search").addEventListener("input", () => { sought = plain($("search").value.trim()); apply(); });
$("search").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { $("search").value = sought = ""; apply(); }
  if (event.key !== "Enter") return;
  event.preventDefault();
  const shown = shownBlocks();
  // jump to the first match, then to the next with each Enter
  const next = shown[(shown.indexOf(current) + (current.sought === sought ? 1 : 0)) % Math.max(1, shown.length)];
  if (!next) return;
  next.sought = sought;
  reveal(next, { focus: false, details: false });
});
const ranked = () => {
  // answers that never came sort before any wait, parts between turns sort last
  for (const block of blocks) block.weight = block.turn ? (never(block.turn) ? 1e12 : 0) + (block.turn.k ?? -1) : -2;
  return [...blocks].sort((one, other) => other.weight - one.weight || one.number - other.number);
};
$("order").addEventListener("change", () => {
  // moving the nodes themselves would take five times as long
  ordered = $("order").value === "wait" ? ranked() : blocks;
  ordered.forEach((block, place) => { block.node.style.order = String(place); });
  if (current) scrollTo(current, "center");
});

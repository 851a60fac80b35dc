// Waits as bars on one scale, so that they can be compared. Bars beyond the scale are cut, and marked.
const lengths = turns.flatMap((turn) => [turn.w || 0, ...turn.gaps.map((entry) => entry[2])]).filter((ms) => ms > 0);
lengths.sort((one, other) => one - other);
const median = lengths.length ? lengths[Math.floor(lengths.length / 2)] : 1;
const longest = Math.max(1, Math.min(lengths[lengths.length - 1] || 1, median * 4));

const sums = (path) => {
  const found = new Map();
  for (const [stage, ms] of path) found.set(stage, (found.get(stage) || 0) + ms);
  return [...found].sort((one, other) => other[1] - one[1]);
};
const named = (path) => sums(path).map(([stage, ms]) => `${stages[stage]} ${seconds(ms)}`).join(", ");

const bar = (path, whole) => {
  const track = make("span", "track"), node = make("span", "bar");
  node.style.width = `${Math.min(1, whole / longest) * 100}%`;
  const shown = path.reduce((sum, [, ms]) => sum + ms, 0) || 1;
  for (const [stage, ms] of path) {
    const segment = make("i", `k-${stages[stage]}`);
    segment.style.flexGrow = String(ms / shown);
    segment.title = `${stages[stage]} ${seconds(ms)}: ${glossary[stages[stage]]}`;
    node.append(segment);
  }
  track.append(node);
  if (whole > longest) track.append(make("span", "cut", "»"));
  return track;
};

// a row between question and answer: label, duration, and the stages as text
const waiting = (cls, what, whole, path, toggle) => {
  const row = button(`row ${cls}`, "", "", toggle);
  row.title = "Show the details of this turn";
  const parts = make("span", "stages");
  for (const [stage, ms] of sums(path)) parts.append(make("span", "", make("i", `k-${stages[stage]}`), `${stages[stage]} ${seconds(ms)}`));
  row.append(make("span", "what", what, " ", make("b", "", seconds(whole))), bar(path, whole), parts);
  return row;
};

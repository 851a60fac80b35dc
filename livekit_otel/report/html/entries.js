// Renders each entry of the conversation as a DOM node, and as text.
const LONG = 1500;

// long texts are folded, with a button that shows their length
const foldable = (node, text) => {
  if (text.length <= LONG) return node;
  node.classList.add("folded");
  const more = button("more", `show all ${text.length.toLocaleString("en")} characters`, "", () => {
    const folded = node.classList.toggle("folded");
    more.textContent = folded ? `show all ${text.length.toLocaleString("en")} characters` : "fold";
  });
  return make("div", "", node, more);
};
const said = (who, entry) => {
  const [, at, text, flags, unheard, heard] = entry;
  const shown = text || (flags & 2 ? "words withheld" : "no words");
  const node = words("p", text ? "said" : "said muted", shown);
  const bubble = make("div", `bubble ${who}`, make("div", "speaker", who, " ", time(at)), foldable(node, shown));
  if (flags & 1) {
    bubble.classList.add("interrupted");
    const after = heard === null ? "" : ` after ${seconds(heard)}`;
    bubble.append(make("p", "mark", term("interrupted"), after, unheard ? "; not heard any more:" : ""));
    if (unheard) bubble.append(foldable(words("p", "said unheard", unheard), unheard));
  }
  if (flags & 4) bubble.append(make("p", "mark", "the trace broke off in these words; the user heard a part of them"));
  return bubble;
};
const field = (name, text, cls = "") => make("div", `field ${cls}`, make("span", "name", name), foldable(words("code", "", text), text));
const toolRow = (entry) => {
  const [, at, name, args, took, raised, returned, given, failed] = entry;
  const head = make("div", "head", make("b", "", "tool "), words("b", "", name), " ", time(at));
  if (took !== null) head.append(make("span", "muted", ` took ${seconds(took)}`));
  if (failed) head.append(make("span", "flag bad", "failed"));
  const node = make("div", failed ? "row tool failed" : "row tool", head, args ? field("arguments", args) : "");
  if (raised) node.append(field("raised", raised, "bad"));
  if (returned) node.append(field("returned", returned));
  if (given || raised) node.append(field("the model was given", given || "nothing"));
  return node;
};
const failureRow = (entry) => {
  const [, at, text, saved, number, url] = entry;
  const node = make("div", saved ? "row failure saved" : "row failure", make("b", "", saved ? "failed, then recovered " : "failed "), time(at), " ");
  node.append(words("span", "", text));
  node.id = `failure-${number}`;
  if (url) node.append(" ", traceLink(url));
  return node;
};
const traceLink = (url) => {
  const link = make("a", "trace", "trace");
  link.href = url;
  link.rel = "noreferrer noopener";
  link.target = "_blank";
  return link;
};
const noted = (at, ...children) => make("div", "row note", time(at), " ", ...children);
const INTERRUPTIONS = {
  interruption: "the user interrupted the agent",
  false_interruption: "a false interruption: the agent stopped, but was not interrupted",
  backchannel: "the user only said something like “mhm”, and the agent continued",
};

const entryNode = (entry, turn, toggle) => {
  const at = entry[1];
  switch (entry[0]) {
    case USER: return said("user", entry);
    case AGENT: return said("agent", entry);
    case TOOL: return toolRow(entry);
    case WAIT: return waiting("wait", term("wait"), turn.w, turn.p, toggle);
    case GAP: return waiting("gap", term("dead air"), entry[2], entry[3], toggle);
    case HANDOFF: return noted(at, "handoff from ", words("b", "", entry[2]), " to ", words("b", "", entry[3]));
    case FAILURE: return failureRow(entry);
    case INTERRUPTION: return noted(at, INTERRUPTIONS[entry[2]] || "the user spoke while the agent did");
    default: return make("div", entry[3].startsWith("not") ? "row unheard" : "row", make("span", "muted", `${entry[3]} `), time(at), foldable(words("p", "said", entry[2]), entry[2]));
  }
};

const entryText = (entry, turn) => {
  const at = clock(entry[1]).padStart(6);
  switch (entry[0]) {
    case USER: case AGENT: {
      const cut = entry[3] & 1 ? `  [interrupted${entry[5] === null ? "" : ` after ${seconds(entry[5])}`}${entry[4] ? `; not heard any more: ${entry[4]}` : ""}]` : "";
      return `${at}  ${entry[0] === USER ? "user" : "agent"}: ${entry[2] || (entry[3] & 2 ? "(redacted)" : "(no words)")}${entry[3] & 4 ? "  [unfinished]" : ""}${cut}`;
    }
    case TOOL: {
      const [, , name, args, took, raised, returned, given, failed] = entry;
      const lines = [`${at}  tool: ${name}(${args})${took === null ? "" : ` took ${seconds(took)}`}`];
      if (raised) lines.push(`        raised: ${raised}`);
      if (returned) lines.push(`        returned: ${returned}`);
      if (given || raised) lines.push(`        ${failed && !raised ? "failed: " : "the model was given: "}${given || "nothing"}`);
      return lines.join("\n");
    }
    case WAIT: return `${at}  wait: ${seconds(turn.w)} (${named(turn.p)})`;
    case GAP: return `${at}  dead air: ${seconds(entry[2])} (${named(entry[3])})`;
    case HANDOFF: return `${at}  handoff from ${entry[2]} to ${entry[3]}`;
    case FAILURE: return `${at}  failed: ${entry[2]}`;
    case INTERRUPTION: return `${at}  ${INTERRUPTIONS[entry[2]] || "overlap"}`;
    default: return `${at}  ${entry[3]}: ${entry[2]}`;
  }
};

// Shared by all parts of the page: data, DOM nodes, times, tooltips.
const data = JSON.parse(document.getElementById("data").textContent);
const { parts, kinds, stages, latencies, glossary } = data;
// kinds of entries, in the order of page.py
const [USER, AGENT, TOOL, WAIT, GAP, HANDOFF, FAILURE, INTERRUPTION, UNHEARD] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const turns = parts.filter((part) => part.i !== undefined);
for (const turn of turns) {
  // defaults for values that the data omits
  turn.p ||= []; turn.l ||= []; turn.s ||= []; turn.n ||= []; turn.f ||= []; turn.m ||= [];
  turn.e ||= ""; turn.x ||= ""; turn.h ||= "";
  turn.gaps = turn.c.filter((entry) => entry[0] === GAP);
}
const $ = (id) => document.getElementById(id);

const make = (tag, cls, ...children) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  node.append(...children.filter((child) => child !== "" && child !== null && child !== undefined));
  return node;
};
const words = (tag, cls, text) => {
  const node = make(tag, cls, text);
  node.dir = "auto";
  return node;
};
const term = (name, shown = name) => {
  const node = make(glossary[name] ? "abbr" : "span", "", shown);
  if (glossary[name]) node.title = glossary[name];
  return node;
};
const button = (cls, text, label, action) => {
  const node = make("button", cls, text);
  node.type = "button";
  if (label) node.setAttribute("aria-label", label);
  node.addEventListener("click", action);
  return node;
};

const seconds = (ms, digits = 2) => `${(Math.round(ms / 10 ** (3 - digits)) / 10 ** digits).toFixed(digits)} s`;
const clock = (ms) => {
  if (ms === null || ms === undefined) return "";
  const all = Math.max(0, Math.floor(ms / 1000)), pad = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60)];
  return hours ? `${hours}:${pad(minutes % 60)}:${pad(all % 60)}` : `${minutes}:${pad(all % 60)}`;
};
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
const localTime = (ms) => new Date(data.begin + ms).toLocaleTimeString([], { hour12: false });
const absolute = (ms) => `${new Date(data.begin + ms).toISOString().slice(11, 19)} UTC, ${localTime(ms)} ${zone}`;
const time = (ms) => {
  const node = make("time", "", clock(ms));
  if (ms !== null && ms !== undefined) node.title = absolute(ms);
  return node;
};
const dead = (turn) => turn.gaps.reduce((sum, entry) => sum + entry[2], 0);
const never = (turn) => Boolean(turn.x);
const ENDS = { session_closed: "session closed", no_reply: "no reply" };
const END = (name) => ENDS[name] || name || "end missing";

// a tooltip for pointer and keyboard
const tip = $("tip");
const showTip = (x, y, lines) => {
  tip.replaceChildren(...lines.map((line) => words("p", "", line)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(x + 12, innerWidth - box.width - 8))}px`;
  tip.style.top = `${Math.max(8, y + box.height + 24 > innerHeight ? y - box.height - 12 : y + 16)}px`;
};
const hideTip = () => { tip.hidden = true; };

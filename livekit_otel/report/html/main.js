// Sets up times, theme and links within the page.
const dark = matchMedia("(prefers-color-scheme: dark)");
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const now = root.dataset.theme || (dark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  palette = null;
  draw();
});
dark.addEventListener("change", () => { palette = null; draw(); });

const began = new Date(data.begin);
if (data.begin && began.getTimezoneOffset()) $("local").textContent = `${began.toLocaleString([], { hour12: false, dateStyle: "medium", timeStyle: "medium" })} in ${zone}`;

const follow = (focus = true) => {
  const [, kind, number] = /^#(turn|failure)-(\d+)$/.exec(location.hash) || [];
  const holds = (part) => part.c.some((entry) => entry[0] === FAILURE && entry[4] === Number(number));
  const block = kind === "turn" ? byIndex.get(Number(number)) : kind === "failure" ? blocks.find((one) => holds(one.part)) : null;
  if (block) reveal(block, { focus, details: kind === "turn" });
};
addEventListener("hashchange", () => follow());
document.addEventListener("click", (event) => {
  // a link to the current position opens it again
  const link = event.target.closest('a[href^="#"]');
  if (link && link.getAttribute("href") === location.hash) { event.preventDefault(); follow(); }
});

fillConversation();
$("time-line").hidden = !turns.length;
for (const one of $("filters").children) {
  const number = one.count();
  one.append(make("span", "count", ` ${number}`));
  one.disabled = number === 0;
}
apply();
follow(false);
addEventListener("resize", () => { size = null; draw(); });
document.documentElement.dataset.ready = "true";
setTimeout(fillRest, 0);

"use strict";
// Shows, hides and reorders the episodes that stand in the page. Their texts are compared, never made into anything.
const SIDE = ["verdict", "kind", "stop"]; // told of each run's episode
const TASK = ["site", "template", "differs"]; // told of the task
const byId = (id) => document.getElementById(id);
const list = byId("tasks");
const shown = byId("shown");
const rows = Array.from(list.children, (node) => ({
  node,
  text: node.querySelector("summary .task").textContent.toLowerCase(),
  sides: Array.from(node.querySelectorAll("summary .side"), (side) => side.dataset),
}));

function chosen(names) {
  return names.filter((name) => byId(name)?.value).map((name) => [name, byId(name).value]);
}

function filter() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [ofSide, ofTask] = [chosen(SIDE), chosen(TASK)];
  let count = 0;
  for (const { node, text, sides } of rows) {
    const fits =
      words.every((word) => text.includes(word)) &&
      ofTask.every(([name, value]) => node.dataset[name] === value || (name === "differs" && value === "any" && node.dataset.differs)) &&
      sides.some((side) => ofSide.every(([name, value]) => side[name] === value));
    node.hidden = !fits;
    count += fits;
  }
  shown.textContent = `${count} of ${rows.length} shown`;
}

function sort() {
  const [name, direction] = byId("sort").value.split(" ");
  const size = ({ sides }) => Math.max(...sides.map((side) => Number(side[name])));
  const sorted = name ? rows.toSorted((one, other) => (direction === "up" ? size(one) - size(other) : size(other) - size(one))) : rows;
  list.append(...sorted.map(({ node }) => node));
}

byId("search").addEventListener("input", filter);
for (const name of [...SIDE, ...TASK]) byId(name)?.addEventListener("change", filter);
byId("sort").addEventListener("change", sort);
byId("filters").addEventListener("reset", () => setTimeout(() => (filter(), sort())));
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").hidden = false;
filter();

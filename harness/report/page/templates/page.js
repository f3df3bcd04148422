"use strict";
// Sorting, filtering, and opening what a link leads to. The page is complete without it.

// Text that is no number and says that there is none: always last.
const MISSING = new Set(["–", "failed", ""]);
const MANY = 7; // items from which on a filter helps

function valueOf(cell) {
  const text = cell.dataset.sort ?? cell.textContent.trim();
  if (MISSING.has(text)) return null;
  const number = parseFloat(text.replace(/[[,]/g, ""));
  return Number.isNaN(number) ? text.toLowerCase() : number;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.title = "Sort";
    button.setAttribute("aria-label", `Sort by ${heading.textContent.trim()}`);
    heading.append(button);
    button.addEventListener("click", () => {
      // Numbers: largest first; names: from A. Then the other way round, then as it was.
      const lines = original.filter((row) => !row.classList.contains("summary"));
      const values = new Map(lines.map((row) => [row, valueOf(row.cells[column])]));
      const numbers = lines.some((row) => typeof values.get(row) === "number");
      const order = numbers ? ["descending", "ascending"] : ["ascending", "descending"];
      const now = heading.getAttribute("aria-sort");
      const next = order[order.indexOf(now) + 1];
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      if (!next) {
        body.append(...original);
        return;
      }
      heading.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const present = lines.filter((row) => values.get(row) !== null);
      present.sort((a, b) => sign * compare(values.get(a), values.get(b)));
      body.append(...new Set([...present, ...original]));
    });
  });
}

// A box, put in its place by `insert`, that hides the items without the words typed into it;
// groups are folds around items.
function filterable(insert, items, name, groups) {
  const box = document.createElement("input");
  box.type = "search";
  box.placeholder = "Filter";
  box.setAttribute("aria-label", `Filter ${name}`);
  const found = document.createElement("span");
  found.setAttribute("role", "status");
  const field = document.createElement("p");
  field.className = "filter";
  field.append(box, found);
  insert(field);
  const texts = items.map((item) => (item.dataset.filter ?? item.textContent).toLowerCase());
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    items.forEach((item, i) => {
      item.hidden = !words.every((word) => texts[i].includes(word));
      shown += !item.hidden;
    });
    found.textContent = words.length ? `${shown} of ${items.length} shown` : "";
    for (const group of groups) {
      const some = group.querySelector("[data-filter]:not([hidden])") !== null;
      group.hidden = !some;
      if (words.length && some) group.open = true;
    }
  });
}

function reveal() {
  const target = document.getElementById(location.hash.slice(1));
  if (!target) return;
  for (let at = target; at; at = at.parentElement) {
    at.hidden = false; // a filter may have hidden it
    if (at.tagName === "DETAILS") at.open = true;
  }
  target.scrollIntoView();
}

for (const table of document.querySelectorAll("table.sortable")) {
  if (table.tBodies[0].rows.length < 2) continue;
  sortable(table);
  const rows = [...table.tBodies[0].rows];
  const caption = table.caption;
  const name = caption.textContent.trim();
  if (rows.length > MANY) filterable((field) => caption.append(field), rows, name, []);
}
for (const list of document.querySelectorAll(".filterable")) {
  const items = [...list.querySelectorAll("[data-filter]")];
  const groups = list.querySelectorAll(":scope > details");
  if (items.length > MANY) {
    filterable((field) => list.before(field), items, list.dataset.name, groups);
  }
}
addEventListener("hashchange", reveal);
if (location.hash) reveal();

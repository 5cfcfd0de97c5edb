// The table of claims: a column's heading sorts, words and lists filter. Without this script the table stands as it is.
"use strict";

function valueOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.sort ?? cell.textContent.trim();
  const number = Number(text);
  return text === "" ? null : Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

// Rows by one column; empty cells last, whichever way.
function sortBy(body, column, sign) {
  const rows = Array.from(body.rows, (row) => [valueOf(row, column), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  body.append(...rows.map(([, row]) => row));
}

function setUp(claims) {
  const form = claims.querySelector("form");
  const body = claims.querySelector("tbody");
  const heads = Array.from(claims.querySelectorAll("thead th"));
  const names = heads.map((head) => head.textContent.trim());
  const rows = Array.from(body.rows);

  function text(row, name) {
    const cell = row.cells[names.indexOf(name)];
    return (cell.querySelector(".verdict") ?? cell).textContent.trim();
  }

  function filter() {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = Array.from(form.querySelectorAll("select")).filter((select) => select.value);
    let shown = 0;
    for (const row of rows) {
      const said = row.textContent.toLowerCase();
      const kept =
        words.every((word) => said.includes(word)) && chosen.every((select) => text(row, select.name) === select.value);
      row.hidden = !kept;
      shown += kept;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length}`;
  }

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      sortBy(body, column, falling ? -1 : 1);
    });
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());

  // A link to a claim shows it, also where a filter hides it.
  function reveal() {
    const row = document.getElementById(location.hash.slice(1));
    if (row?.hidden && body.contains(row)) {
      form.reset();
      filter();
      row.scrollIntoView();
    }
  }
  window.addEventListener("hashchange", reveal);
  filter(); // a browser may have kept what was chosen
  reveal();
}

document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".claims").forEach(setUp));

// On a telephone the cells of a wide table stand one below the other; each bears the head of its column.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("table.docutils:has(th:nth-child(3))")) {
    const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].slice(1).forEach((cell, place) => { cell.dataset.head = heads[place + 1]; });
    }
  }
});

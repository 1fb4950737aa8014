"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const button of table.querySelectorAll("thead button")) {
    const head = button.closest("th");
    button.addEventListener("click", () => {
      // The first click puts the best or largest first, and names from A.
      const first = head.dataset.first || "descending";
      const now = head.getAttribute("aria-sort");
      const up = (now === null ? first : now === "ascending" ? "descending" : "ascending") === "ascending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[head.cellIndex].dataset.value;
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // empty ones are last, whichever way
        const order = "text" in head.dataset ? x.localeCompare(y, "en", { numeric: true }) : x - y;
        return up ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  }
}

const form = document.getElementById("filters");
if (form) {
  const list = document.getElementById("cards");
  const cards = [...list.children];
  const count = document.getElementById("count");
  const sure = form.elements.confidence;
  const orders = {
    worst: (a, b) => a.dataset.rank - b.dataset.rank,
    best: (a, b) => b.dataset.rank - a.dataset.rank,
    file: (a, b) => a.dataset.place - b.dataset.place,
  };
  let order = "worst";
  const update = () => {
    const wanted = ["dataset", "run", "error", "rule"].map((name) => [name, form.elements[name]?.value ?? ""]);
    const least = sure ? Number(sure.value) / 100 : 0;
    let shown = 0;
    for (const card of cards) {
      const fits = wanted.every(([name, value]) => value === "" || card.dataset[name] === value);
      // Without a distribution there is no confidence: such a card goes as soon as some is asked for.
      card.hidden = !fits || (least > 0 && !(Number(card.dataset.confidence) >= least));
      if (!card.hidden) shown += 1;
    }
    if (form.elements.order.value !== order) {
      order = form.elements.order.value;
      list.append(...cards.sort(orders[order]));
    }
    if (sure) document.getElementById("least").textContent = least ? `at least ${least.toFixed(2)}` : "any";
    const chosen = [...form.querySelectorAll("select")]
      .filter((select) => select.selectedIndex > 0)
      .map((select) => `${select.labels[0].textContent.trim()}: ${select.selectedOptions[0].textContent.trim()}`);
    if (least) chosen.push(`confidence at least ${least.toFixed(2)}`);
    count.textContent = `${shown} of ${cards.length} shown` + (chosen.length ? ` · ${chosen.join(" · ")}` : "");
    document.getElementById("none").hidden = shown > 0;
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update)); // after the fields are as they were
  form.hidden = false;
  update();
}

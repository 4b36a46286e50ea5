function render({ model, el }) {
  const scroll = document.createElement("div");
  scroll.className = "tbw-scroll";
  const table = document.createElement("table");
  table.className = "tbw-table is-choice";
  table.setAttribute("role", "listbox");
  scroll.appendChild(table);
  el.appendChild(scroll);
  const choose = (key) => { model.set("selected", key); model.save_changes(); };
  const cell = (kind, content) => {
    const made = document.createElement(kind);
    const text = typeof content === "object" ? content.text : content;
    made.textContent = text; // never as HTML: names are written by users
    if (content.chip) {
      const chip = document.createElement("span");
      chip.className = `tbw-chip ${content.tone || ""}`;
      chip.textContent = content.chip;
      if (text) made.append(" ");
      made.append(chip);
    }
    return made;
  };
  const draw = () => {
    const focused = table.contains(document.activeElement) && document.activeElement.dataset.key;
    const head = document.createElement("thead");
    const titles = document.createElement("tr");
    model.get("columns").forEach((title) => titles.append(cell("th", title)));
    head.append(titles);
    const body = document.createElement("tbody");
    model.get("rows").forEach((row) => {
      const line = document.createElement("tr");
      line.dataset.key = row.key;
      line.tabIndex = 0;
      line.setAttribute("role", "option");
      line.setAttribute("aria-selected", String(row.key === model.get("selected")));
      row.cells.forEach((content) => line.append(cell("td", content)));
      line.addEventListener("click", () => choose(row.key));
      line.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(row.key); } });
      body.append(line);
    });
    table.replaceChildren(head, body);
    if (focused) Array.from(body.children).find((line) => line.dataset.key === focused)?.focus();
  };
  model.on("change:rows change:selected change:columns", draw);
  draw();
  return () => model.off("change:rows change:selected change:columns", draw);
}
export default { render };

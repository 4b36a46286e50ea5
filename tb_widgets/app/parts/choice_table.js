function render({ model, el }) {
  const table = document.createElement("table");
  table.className = "tbw-table is-choice";
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", model.get("label"));
  const scroll = document.createElement("div");
  scroll.className = "tbw-scroll";
  scroll.appendChild(table);
  el.appendChild(scroll);
  const choose = (key) => { model.set("selected", key); model.save_changes(); };
  const cell = (kind, content) => {
    const made = document.createElement(kind);
    const text = typeof content === "object" ? content.text : content;
    made.setAttribute("role", kind === "th" ? "columnheader" : "gridcell");
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
  const lines = () => Array.from(table.querySelectorAll("tbody tr"));
  // One row is in the Tab order; the arrows lead to the others.
  const enter = (line) => {
    lines().forEach((other) => { other.tabIndex = other === line ? 0 : -1; });
    line.focus();
  };
  const onKey = (event) => {
    const line = event.target.closest("tbody tr");
    if (!line) return;
    const all = lines(), place = all.indexOf(line);
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined && all[to]) enter(all[to]);
    else if (event.key === "Enter" || event.key === " ") choose(line.dataset.key);
    else if (to === undefined) return;
    event.preventDefault();
  };
  table.addEventListener("keydown", onKey);
  const draw = () => {
    const focused = table.contains(document.activeElement) && document.activeElement.dataset.key;
    const head = document.createElement("thead");
    const titles = document.createElement("tr");
    titles.setAttribute("role", "row");
    model.get("columns").forEach((title) => titles.append(cell("th", title)));
    head.append(titles);
    const body = document.createElement("tbody");
    const rows = model.get("rows"), selected = model.get("selected");
    const inOrder = focused || (rows.some((row) => row.key === selected) ? selected : rows[0]?.key);
    rows.forEach((row) => {
      const line = document.createElement("tr");
      line.dataset.key = row.key;
      line.tabIndex = row.key === inOrder ? 0 : -1;
      line.setAttribute("role", "row");
      line.setAttribute("aria-selected", String(row.key === selected));
      row.cells.forEach((content) => line.append(cell("td", content)));
      line.addEventListener("click", () => choose(row.key));
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

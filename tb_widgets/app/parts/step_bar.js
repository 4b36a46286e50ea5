function render({ model, el }) {
  const bar = document.createElement("div");
  bar.className = "tbw-steps";
  bar.setAttribute("role", "tablist");
  bar.setAttribute("aria-label", "Steps");
  el.appendChild(bar);
  const choose = (id) => { model.set("selected", id); model.save_changes(); };
  const draw = () => {
    const steps = model.get("steps");
    while (bar.children.length > steps.length) bar.lastChild.remove();
    steps.forEach((step, index) => {
      let tab = bar.children[index];
      if (!tab) {
        tab = document.createElement("button");
        tab.setAttribute("role", "tab");
        const title = document.createElement("b");
        title.append(document.createElement("i"), document.createElement("span"));
        tab.append(title, document.createElement("small"));
        tab.addEventListener("click", () => choose(tab.dataset.step));
        tab.addEventListener("keydown", (event) => {
          const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          const next = move && bar.children[(Array.from(bar.children).indexOf(tab) + move + bar.children.length) % bar.children.length];
          if (next) { next.focus(); choose(next.dataset.step); }
        });
        bar.appendChild(tab);
      }
      const chosen = step.id === model.get("selected");
      tab.dataset.step = step.id;
      tab.className = step.mark === "✓" ? "is-done" : step.mark === "▲" ? "is-warn" : step.mark === "!" ? "is-bad" : "";
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      tab.querySelector("i").textContent = step.mark || String(index + 1);
      tab.querySelector("span").textContent = step.title;
      tab.querySelector("small").textContent = step.summary;
      tab.title = step.summary;
    });
  };
  model.on("change:steps change:selected", draw);
  draw();
  return () => model.off("change:steps change:selected", draw);
}
export default { render };

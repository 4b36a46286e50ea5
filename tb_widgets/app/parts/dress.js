// What ipywidgets can't say of a page, said for those who do not see it or use no mouse. Runs in front of heartbeat.js.
let tbwIds = 0;
const tbwSet = (element, name, value) => {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
};
const tbwId = (element) => element.id || (element.id = `tbw-${++tbwIds}`);

// The words above an input are its name, and those below it its description.
function tbwNameFields(root) {
  root.querySelectorAll(".tbw-field").forEach((field) => {
    const input = field.querySelector("input:not([type=checkbox]), select, textarea");
    if (!input) return;
    const label = field.querySelector(".tbw-label");
    if (label) tbwSet(input, "aria-label", label.textContent);
    const about = Array.from(field.querySelectorAll(".tbw-help, .tbw-error"), tbwId).join(" ");
    tbwSet(input, "aria-describedby", about || null);
    tbwSet(input, "aria-invalid", field.querySelector(".is-bad") ? "true" : null);
  });
}

function tbwNamePanels(root) {
  const tabs = Array.from(root.querySelectorAll(".tbw-steps [role=tab]"));
  root.querySelectorAll(".tbw-step").forEach((panel) => {
    const tab = tabs.find((one) => panel.classList.contains(`tbw-of-${one.dataset.step}`));
    if (!tab) return;
    tbwSet(panel, "role", "tabpanel");
    tbwSet(panel, "aria-labelledby", tbwId(tab));
    tbwSet(tab, "aria-controls", tbwId(panel));
  });
  // Plotly's picture says nothing that the words below it do not say better.
  root.querySelectorAll(".js-plotly-plot").forEach((plot) => tbwSet(plot, "aria-hidden", "true"));
  // What scrolls by itself can be scrolled with the keyboard.
  root.querySelectorAll("pre.tbw-code, pre.tbw-diff, pre.tbw-log, pre.tbw-sample, .tbw-scroll, .tbw-bar .tbw-facts, .tbw-blocker").forEach((box) => {
    const scrolls = box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1;
    tbwSet(box, "tabindex", scrolls ? "0" : null);
  });
}

// A button that is hidden once it was pressed takes the focus with it: it goes to what stands in its place.
function tbwFocusKeeper(root) {
  let last = null;
  const isSeen = (element) => element.isConnected && element.getClientRects().length > 0;
  root.addEventListener("focusin", (event) => { last = event.target; });
  root.addEventListener("pointerdown", (event) => { if (!event.target.closest("button, a, input, select")) last = null; });
  return () => {
    if (!last || document.activeElement !== document.body) return;
    if (isSeen(last)) { // it was greyed for a moment: it gets the focus back with its colour
      if (!last.disabled) last.focus({ preventScroll: true });
      return;
    }
    const around = [last.closest(".tbw-buttons"), last.closest(".tbw-bar"), last.closest(".tbw-card"), root.querySelector(".tbw-steps")];
    for (const box of around) {
      const next = box && [".tbw-primary", "button"].map((kind) => Array.from(box.querySelectorAll(kind))
        .find((one) => isSeen(one) && !one.disabled && one.tabIndex >= 0)).find(Boolean);
      if (next) { next.focus({ preventScroll: true }); return; }
    }
  };
}

// Whoever waits in another tab sees how far it is.
function tbwTitle(root) {
  const bar = root.querySelector(".tbw-bar-row:not(.tbw-hidden) .tbw-bar-text[data-state]");
  const name = "Transformer Builder", state = bar?.dataset.state;
  const share = bar?.querySelector("[role=progressbar]")?.getAttribute("aria-valuenow");
  const said = { running: `${share} %`, paused: "Paused", done: "Done", failed: "Failed", interrupted: "Interrupted" }[state];
  const title = said ? `${said} · ${name}` : name;
  if (document.title !== title) document.title = title;
}

// A button beside a text copies it.
function tbwCopy(root) {
  root.addEventListener("click", async (event) => {
    const button = event.target.closest?.(".tbw-copy");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
      button.textContent = "Copied";
    } catch { // no clipboard for a page that is not served safely: the text is selected instead
      getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// Show a field and begin to type into it; its step may have to be built first.
function tbwShowField(root, place, tries = 20) {
  const target = root.querySelector(`.tbw-at-${place}`);
  const input = target && (target.matches("input, select, textarea, button") ? target : target.querySelector("input, select, textarea, button"));
  if (input && input.getClientRects().length) {
    input.scrollIntoView({ block: "center" });
    input.focus({ preventScroll: true });
  } else if (tries) setTimeout(() => tbwShowField(root, place, tries - 1), 100);
}


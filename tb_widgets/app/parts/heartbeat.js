// The page pulls. This asks "what is new?" and the kernel answers inside that message's handler: the one transport
// that works in Colab, JupyterLab, Notebook and Voila alike. It never asks again before the answer is there.
const GONE_AFTER = 8000;
const NARROW = 560; // as in theme.css

function isDark() {
  const body = document.body;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  const theme = document.documentElement.getAttribute("theme");
  if (theme) return theme === "dark";
  if (body.classList.contains("theme-dark")) return true;
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

// The page's own address, and those of the pages around it as far as they may be read: a notebook's host may show
// us in a frame of another origin.
function addresses() {
  const found = [location.search + location.hash];
  for (let frame = window; frame !== frame.parent; frame = frame.parent) {
    try {
      found.push(frame.parent.location.search + frame.parent.location.hash);
    } catch { break; }
  }
  return document.referrer ? [...found, new URL(document.referrer).search] : found;
}

// By which a visitor of a shared page finds the own runs again. Only this browser knows it.
function visitor() {
  const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(24)), (b) => b.toString(16).padStart(2, "0")).join("");
  try {
    const known = localStorage.getItem("tbw-visitor") || fresh();
    localStorage.setItem("tbw-visitor", known);
    return known;
  } catch { // a browser that keeps nothing
    return fresh();
  }
}

function render({ model, el }) {
  const note = document.createElement("div");
  note.setAttribute("role", "status");
  el.appendChild(note);
  let root = null, timer = null, asked = 0, waiting = false, ended = false, width = 0, drawn = 0, wasNarrow = null;

  const dress = () => {
    root = root || el.closest(".tbw");
    if (!root) return;
    root.classList.toggle("tbw-dark", isDark());
    // The standalone page has no notebook around it: the dashboard is the page.
    root.classList.toggle("tbw-whole", document.body.classList.contains("tbw-page"));
    const plots = figureStands() ? 1 : 0;
    root.classList.toggle("tbw-drawn", plots > 0);
    if (root.clientWidth !== width || plots !== drawn) {
      width = root.clientWidth;
      drawn = plots;
      window.dispatchEvent(new Event("resize")); // the figure measures itself anew
    }
  };
  // Plotly first draws an empty plot in the widget's place; what is sent before our lines stand in it is lost.
  const figureStands = () => Boolean(root) &&
    Array.from(root.querySelectorAll(".js-plotly-plot")).some((plot) => plot._fullData?.length);
  const complain = (text) => {
    note.className = text ? "tbw-note is-bad tbw-gone" : "";
    note.textContent = text;
  };
  const tell = (content) => {
    try {
      model.send(content);
    } catch { // a connection that is closed on this side stays closed: asking again would be of no use
      ended = true;
      waiting = false;
      complain("The notebook's kernel is gone. A training that was started goes on. Run this cell again, or reload " +
        "the page, to watch it.");
    }
  };
  const ask = (type) => {
    if (ended) return;
    waiting = true;
    asked = Date.now();
    const narrow = width > 0 && width <= NARROW;
    // Only where it has changed: another view of the same figure may be wide.
    tell({ type, figure: figureStands(), ...(narrow === wasNarrow ? {} : { narrow }) });
    wasNarrow = narrow;
  };
  const watch = () => {
    dress();
    if (waiting && Date.now() - asked > GONE_AFTER) {
      complain("The notebook's kernel does not answer: it is busy or gone. A training that was started goes on. " +
        "Run this cell again, or reload the page, to watch it.");
      if (Date.now() - asked > 3 * GONE_AFTER) ask("ready");
    }
  };
  const onMessage = (message) => {
    if (message.type === "hurry" && !waiting) {
      clearTimeout(timer);
      timer = setTimeout(() => ask("tick"), message.wait);
    }
    if (message.type !== "tock") return;
    waiting = false;
    if (note.textContent) complain("");
    clearTimeout(timer);
    timer = setTimeout(() => ask("tick"), document.hidden ? Math.max(4000, message.wait) : message.wait);
  };
  // Voila drops its connection before the page is gone; asking then would be an error in the console.
  const onLeave = () => { ended = true; setTimeout(() => { ended = false; if (!waiting) ask("tick"); }, 3000); };
  const onVisible = () => { if (!document.hidden && !waiting) { clearTimeout(timer); ask("tick"); } };

  model.on("msg:custom", onMessage);
  document.addEventListener("visibilitychange", onVisible);
  addEventListener("beforeunload", onLeave);
  const watcher = setInterval(watch, 500);
  const named = addresses().find((address) => /[?#&]gist_id=/.test(address));
  requestAnimationFrame(() => {
    dress();
    if (model.get("asks_who")) tell({ type: "visitor", key: visitor() });
    if (named) tell({ type: "address", text: named });
    ask("ready");
  });
  return () => {
    ended = true;
    clearTimeout(timer);
    clearInterval(watcher);
    document.removeEventListener("visibilitychange", onVisible);
    removeEventListener("beforeunload", onLeave);
    model.off("msg:custom", onMessage);
  };
}

export default { render };

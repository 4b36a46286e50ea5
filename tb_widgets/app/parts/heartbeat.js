// The page pulls. This asks "what is new?" and the kernel answers inside that message's handler: the one transport
// that works in Colab, JupyterLab, Notebook and Voila alike. It never asks again before the answer is there.
const GONE_AFTER = 4000;
const NARROW = 560; // as in theme.css
const MOST_TRIES = 10; // looks at a figure that does not become as wide as its place

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
  let root = null, timer = null, asked = 0, waiting = false, ended = false, width = 0, drawn = 0, tries = 0, wasNarrow = null;
  let keepFocus = () => {}, observer = null, heard = Date.now(), isLost = false;
  const isPage = document.body.classList.contains("tbw-page");

  const dress = () => {
    if (!root && el.closest(".tbw")) {
      root = el.closest(".tbw");
      keepFocus = tbwFocusKeeper(root);
      tbwCopy(root);
      // A step that is shown and a panel that is drawn are dressed at once, not at the next look.
      let soon = null;
      observer = new MutationObserver(() => { soon = soon || setTimeout(() => { soon = null; dress(); }, 250); });
      observer.observe(root, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
    }
    if (!root) return;
    tbwNameFields(root);
    tbwNamePanels(root);
    keepFocus();
    if (isPage) tbwTitle(root);
    root.classList.toggle("tbw-dark", isDark());
    // The standalone page has no notebook around it: the dashboard is the page.
    root.classList.toggle("tbw-whole", isPage);
    const plots = figureStands() ? 1 : 0;
    // It is seen once it is as wide as its place: Plotly begins with a width of its own.
    const isFitted = plots > 0 && (root.classList.contains("tbw-drawn") || figureFits());
    root.classList.toggle("tbw-drawn", isFitted);
    if (root.clientWidth !== width || plots !== drawn || (plots && !isFitted && figure()?.clientWidth)) {
      width = root.clientWidth;
      drawn = plots;
      window.dispatchEvent(new Event("resize")); // the figure measures itself anew
    }
  };
  // Plotly first draws an empty plot in the widget's place; what is sent before our lines stand in it is lost.
  const figureStands = () => Boolean(root) &&
    Array.from(root.querySelectorAll(".js-plotly-plot")).some((plot) => plot._fullData?.length);
  const figure = () => root.querySelector(".tbw-figure .js-plotly-plot");
  const figureFits = () => {
    const plot = figure();
    if (!plot || Math.abs((plot._fullLayout?.width ?? 0) - plot.clientWidth) < 2) return true;
    tries += plot.clientWidth > 0 ? 1 : 0; // while its step is hidden it has no width to take
    return tries > MOST_TRIES; // better seen as it is than not at all
  };
  const complain = (text) => {
    isLost = Boolean(text);
    root?.classList.toggle("tbw-lost", isLost);
    note.className = text ? "tbw-note is-bad tbw-gone" : "";
    const words = document.createElement("p");
    words.textContent = text;
    note.replaceChildren(...(text ? [Object.assign(document.createElement("span"), { textContent: "✕" }), words] : []));
  };
  const since = () => {
    const seconds = Math.round((Date.now() - heard) / 1000);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  const sayLost = () => complain(isPage
    ? `No connection to the dashboard for ${since()}. Training continues in the background. If the dashboard was closed, ` +
      "start it again with tb-widgets app. This page reconnects by itself."
    : `The notebook's kernel has not answered for ${since()}: it is busy, or gone. Training continues in the background. ` +
      "This page reconnects by itself; after a restart of the kernel, run this cell again.");
  // A server that is there again does not know this page's kernel: the page begins anew, and finds what was kept.
  const lookForServer = async () => {
    try {
      const answer = await fetch(location.href, { method: "GET", cache: "no-store" });
      if (answer.ok && isLost) location.reload();
    } catch { /* still gone */ }
  };
  const tell = (content) => {
    try {
      model.send(content);
    } catch { // a connection that is closed on this side stays closed: asking again would be of no use
      ended = true;
      waiting = false;
      sayLost();
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
    if (ended ? isLost : waiting && Date.now() - heard > GONE_AFTER) {
      sayLost();
      if (!ended && Date.now() - asked > 3 * GONE_AFTER) ask("ready");
      if (isPage && Math.round((Date.now() - heard) / 500) % 6 === 0) lookForServer();
    }
  };
  const onMessage = (message) => {
    if (message.type === "hurry" && !waiting) {
      clearTimeout(timer);
      timer = setTimeout(() => ask("tick"), message.wait);
    }
    if (message.type === "top" && root) {
      const steps = root.querySelector(".tbw-steps");
      if (steps && steps.getBoundingClientRect().bottom < 0) steps.scrollIntoView({ block: "start" });
    }
    if (message.type === "field" && root) tbwShowField(root, message.place);
    if (message.type !== "tock") return;
    waiting = false;
    heard = Date.now();
    if (isLost) complain("");
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
    observer?.disconnect();
    document.removeEventListener("visibilitychange", onVisible);
    removeEventListener("beforeunload", onLeave);
    model.off("msg:custom", onMessage);
  };
}

export default { render };

// The splash says what is happening until the first output stands in the page.
const tbwSplash = {
  say(text) {
    const now = document.getElementById("tbw-splash-now");
    if (now) now.textContent = text;
  },
  hint(text) {
    const hint = document.getElementById("tbw-splash-hint");
    if (hint) hint.textContent = text;
  },
  watch() {
    // A widget tall enough to be seen (its box stands before what is in it), or an error in its place.
    const ready = () => {
      const widget = document.querySelector("#rendered_cells .jupyter-widgets");
      const error = document.querySelector("#rendered_cells .jp-RenderedText:not(:empty)");
      return error !== null || (widget !== null && widget.getBoundingClientRect().height > 24);
    };
    const observer = new MutationObserver(() => {
      if (!ready()) return;
      observer.disconnect();
      clearTimeout(this.late);
      document.getElementById("tbw-splash").remove();
      document.body.classList.add("tbw-ready");
    });
    observer.observe(document.body, { childList: true, subtree: true });
    this.late = setTimeout(
      () => this.hint("This takes longer than usual. If nothing changes within a minute, reload the page."), 30000);
  },
};
tbwSplash.watch();

// Voila calls these by name. The first arrives every ten seconds while the cell is still running.
window.voila_heartbeat = () => tbwSplash.hint("Still working. The first start after an installation takes longest.");
window.voila_process = () => {};
window.voila_finish = () => {};

// Stylesheets follow the system by themselves; attributes that widgets read have to be told.
const tbwDark = window.matchMedia("(prefers-color-scheme: dark)");
const tbwFollow = () => {
  document.body.dataset.jpThemeLight = String(!tbwDark.matches);
  document.body.dataset.jpThemeName = tbwDark.matches ? "JupyterLab Dark" : "JupyterLab Light";
  document.body.classList.toggle("theme-dark", tbwDark.matches);
  document.body.classList.toggle("theme-light", !tbwDark.matches);
};
tbwFollow();
tbwDark.addEventListener("change", tbwFollow);

// Voila says goodbye to the kernel on beforeunload, which a closing tab may skip. A page that comes back from the
// browser's memory after that has no kernel: it starts again.
window.addEventListener("pagehide", () => {
  const config = document.getElementById("jupyter-config-data");
  if (!config) return;
  const { baseUrl, kernelId } = JSON.parse(config.textContent);
  navigator.sendBeacon(`${baseUrl}voila/api/shutdown/${kernelId}`);
});
window.addEventListener("pageshow", (event) => event.persisted && window.location.reload());

"""The ground under the dashboard, in every host: what a panel may count on before it is built."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from playwright.sync_api import Browser, expect

from .page import DashboardPage
from .servers import Server

OpenDashboard = Callable[..., DashboardPage]

PROBE = '''
import anywidget
import ipywidgets
import plotly.graph_objects as go
import traitlets


class Heartbeat(anywidget.AnyWidget):
    """The page ticks, the kernel answers inside that message's handler."""

    _esm = """
    function render({ model, el }) {
      el.innerHTML = '<span class="probe-answers">0</span> <span class="probe-bytes"></span> ' +
        '<span class="probe-trait"></span>';
      let n = 0;
      const show = (name, text) => { el.querySelector(".probe-" + name).textContent = text; };
      model.on("msg:custom", (answer, buffers) => {
        show("answers", answer.n);
        const bytes = buffers[0];
        show("bytes", Array.from(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)).join(" "));
        n = answer.n;
      });
      model.on("change:from_kernel", () => show("trait", model.get("from_kernel")));
      const timer = setInterval(() => model.send({ n }, undefined, [new Uint8Array([7, 200]).buffer]), 500);
      model.set("from_page", "hello");
      model.save_changes();
      // Voila drops the connection on beforeunload; a tick after that is an uncaught "Cannot send".
      window.addEventListener("beforeunload", () => clearInterval(timer));
      return () => clearInterval(timer);
    }
    export default { render };
    """
    from_page = traitlets.Unicode("").tag(sync=True)
    from_kernel = traitlets.Unicode("").tag(sync=True)


heartbeat = Heartbeat()
figure = go.FigureWidget(data=[go.Scatter(x=[0], y=[0])], layout={"height": 200})
style = ipywidgets.HTML("<style>.probe-styled { color: rgb(1, 2, 3) }</style><span class='probe-styled'>styled</span>")


def answer(widget, content, buffers):
    n = content["n"] + 1
    with figure.batch_update():
        figure.data[0].x = list(range(n))
        figure.data[0].y = [i * i for i in range(n)]
    widget.send({"n": n}, [bytes(reversed(bytes(buffers[0])))])


def greet(change):
    heartbeat.from_kernel = "kernel heard " + change["new"]


heartbeat.on_msg(answer)
heartbeat.observe(greet, "from_page")
ipywidgets.VBox([heartbeat, style, figure])
'''

ANSWERS = "() => Number(document.querySelector('.probe-answers').textContent)"
POINTS = "() => document.querySelector('.js-plotly-plot')?.data?.[0]?.x?.length ?? 0"


def test_every_host_carries_what_a_panel_counts_on(open_dashboard: OpenDashboard, any_host: str) -> None:
    """Answers with bytes, traits, a figure that follows its data, styles, and the reader's light or dark."""
    page = open_dashboard(any_host, source=PROBE, dark=True).page

    page.wait_for_function(f"() => ({ANSWERS})() >= 5")
    expect(page.locator(".probe-bytes")).to_have_text("200 7")
    expect(page.locator(".probe-trait")).to_have_text("kernel heard hello")
    # Changes made before the figure's view stands can be lost, so what counts is that it goes on growing.
    page.wait_for_function(f"() => ({POINTS})() > 1")
    before = page.evaluate(POINTS)
    page.wait_for_function(f"() => ({POINTS})() > {before} + 2")
    assert page.locator(".probe-styled").evaluate("e => getComputedStyle(e).color") == "rgb(1, 2, 3)"

    if any_host != "floor":  # Notebook 6 is always light
        page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
        page.emulate_media(color_scheme="light")
        page.wait_for_function("() => document.body.dataset.jpThemeLight === 'true'")


def test_the_page_fits_a_phone_changes_colour_and_takes_its_kernel_along(
    open_dashboard: OpenDashboard, chromium: Browser
) -> None:
    page = open_dashboard("voila", source=PROBE, width=360, height=740).page

    assert page.title() == "Transformer Builder"
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360
    ground = page.locator("#rendered_cells")
    expect(ground).to_have_css("background-color", "rgb(247, 247, 245)")
    page.emulate_media(color_scheme="dark")
    expect(ground).to_have_css("background-color", "rgb(22, 24, 28)")

    witness = chromium.new_page()
    witness.goto(page.url + "voila/templates/lab/static/theme-light.css")
    for leave in (page.reload, page.close):
        kernel = page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
        status = f"async () => (await fetch('/api/kernels/{kernel}')).status"
        assert witness.evaluate(status) == 200
        leave()
        witness.wait_for_function(f"async () => await ({status})() === 404")
    witness.close()


FOREIGN = """<!DOCTYPE html>
<img src="{url}/?as=image"><script src="{url}/?as=script"></script><iframe src="{url}/?as=frame"></iframe>
<link rel="prefetch" href="{url}/?as=prefetch">
<a href="{url}/?as=link">The dashboard</a>
<script>fetch("{url}/?as=fetch", {{ mode: "no-cors" }}).finally(() => {{ document.title = "asked" }})</script>
"""


def test_another_site_may_link_to_the_page_and_starts_no_kernel_by_itself(
    chromium: Browser, server_of: Callable[..., Server], tmp_path: Path
) -> None:
    # Of its own: the kernel of a page that another test has closed may end meanwhile.
    server = server_of("voila", source=PROBE, runs_dir=tmp_path / "runs")

    def kernels() -> int:
        children = psutil.Process(server.process.pid).children(recursive=True)
        return sum("ipykernel_launcher" in child.cmdline() for child in children)

    (tmp_path / "index.html").write_text(FOREIGN.format(url=server.url), encoding="utf-8")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page = chromium.new_page()
        answers: dict[str, int] = {}
        page.on("response", lambda answer: answers.update({answer.url.removeprefix(server.url): answer.status}))
        before = kernels()
        page.goto(f"http://localhost:{other.server_port}/", wait_until="load")
        page.wait_for_function("() => document.title === 'asked'")
        # Of what the browser blocks by itself, as a picture that is none, it tells no status.
        assert {status for url, status in answers.items() if url.startswith("/?as=")} == {403}
        assert {"/?as=frame", "/?as=fetch"} <= {*answers}
        assert kernels() == before

        page.get_by_text("The dashboard").click()
        expect(page.locator(".probe-answers")).to_be_visible(timeout=60_000)
        assert kernels() == before + 1
        page.close()
        other.shutdown()

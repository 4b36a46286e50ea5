"""The ground under the dashboard, in every host: what a panel may count on before it is built."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from .page import DashboardPage

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


def test_ticks_are_answered_with_bytes_and_traits_sync(open_dashboard: OpenDashboard, any_host: str) -> None:
    page = open_dashboard(any_host, source=PROBE).page

    page.wait_for_function(f"() => ({ANSWERS})() >= 5")
    expect(page.locator(".probe-bytes")).to_have_text("200 7")
    expect(page.locator(".probe-trait")).to_have_text("kernel heard hello")


def test_a_figure_follows_its_data_and_styles_apply(open_dashboard: OpenDashboard, any_host: str) -> None:
    page = open_dashboard(any_host, source=PROBE).page

    # Changes made before the figure's view stands can be lost, so what counts is that it goes on growing.
    page.wait_for_function(f"() => ({POINTS})() > 1")
    before = page.evaluate(POINTS)
    page.wait_for_function(f"() => ({POINTS})() > {before} + 2")
    assert page.locator(".probe-styled").evaluate("e => getComputedStyle(e).color") == "rgb(1, 2, 3)"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_follows_light_and_dark(open_dashboard: OpenDashboard, host: str, dark: bool) -> None:
    page = open_dashboard(host, source=PROBE, dark=dark).page

    page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{str(not dark).lower()}'")


def test_the_page_fits_a_phone_and_changes_colour_while_open(open_dashboard: OpenDashboard) -> None:
    page = open_dashboard("voila", source=PROBE, width=360, height=740).page

    assert page.title() == "Transformer Builder"
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360
    ground = page.locator("#rendered_cells")
    expect(ground).to_have_css("background-color", "rgb(247, 247, 245)")
    page.emulate_media(color_scheme="dark")
    expect(ground).to_have_css("background-color", "rgb(22, 24, 28)")
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false")


@pytest.mark.parametrize("leave", ["close", "reload"])
def test_a_page_that_goes_takes_its_kernel_along(open_dashboard: OpenDashboard, chromium: Browser, leave: str) -> None:
    page = open_dashboard("voila", source=PROBE).page
    kernel = page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    witness = chromium.new_page()
    witness.goto(page.url + "voila/templates/lab/static/theme-light.css")
    status = f"async () => (await fetch('/api/kernels/{kernel}')).status"
    assert witness.evaluate(status) == 200

    page.close() if leave == "close" else page.reload()

    witness.wait_for_function(f"async () => await ({status})() === 404")
    witness.close()

"""A kernel with a dashboard whose page beats twice a second until the run in sight has ended."""

from __future__ import annotations

import sys
import threading

from tests.bench.wire import Wire

if __name__ == "__main__":
    Wire()
    from tb_widgets import Dashboard
    from tests.bench.attach import until_the_figure_stands

    dashboard = Dashboard(runs_dir=sys.argv[1])
    until_the_figure_stands(dashboard)
    print("ready", flush=True)
    dashboard.open_run(sys.stdin.readline().strip())
    clock, beats = threading.Event(), 0
    while dashboard.watch.status.is_active:
        dashboard._on_beat("tick", True, False)
        beats += 1
        clock.wait(0.5)
    print(beats)

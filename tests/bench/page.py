"""A kernel with a dashboard whose page is looked at, and beats twice a second, or not, as it is told on stdin."""

from __future__ import annotations

import select
import sys
import time

from tests.bench.wire import Wire

BEAT_EVERY = 0.5  # seconds, as in a page that is looked at

if __name__ == "__main__":
    Wire()
    from tb_widgets import Dashboard
    from tests.bench.attach import until_the_figure_stands

    dashboard = Dashboard(runs_dir=sys.argv[1])
    until_the_figure_stands(dashboard)
    print("ready", flush=True)
    dashboard.open_run(sys.stdin.readline().strip())
    beats, looking, next_beat = 0, False, 0.0
    while True:
        told, _, _ = select.select([sys.stdin], [], [], max(0.0, next_beat - time.monotonic()) if looking else None)
        if not told:
            dashboard.on_beat("tick", True)
            beats, next_beat = beats + 1, time.monotonic() + BEAT_EVERY
        elif (word := sys.stdin.readline().strip()) in ("look", "rest"):
            looking, next_beat = word == "look", 0.0
            print("so be it", flush=True)
        else:
            break
    print(beats)

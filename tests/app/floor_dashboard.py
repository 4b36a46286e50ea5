"""Run with the Colab-like environment's own Python: a dashboard is built, beats, and draws there."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
from pathlib import Path

import anywidget
import ipywidgets
import plotly

import tb_widgets.app
from tb_widgets import Dashboard
from tb_widgets.app.steps import STEPS
from tb_widgets.runs import create_run
from tb_widgets.spec import RunSpec

# The page server is Voila's, and there is no Voila in Colab.
WITHOUT = ("tb_widgets.app.page",)

runs_dir, text = Path(sys.argv[1]), sys.argv[2]
modules = [
    found.name
    for found in pkgutil.walk_packages(tb_widgets.app.__path__, "tb_widgets.app.")
    if not found.name.startswith(WITHOUT)
]
for name in modules:
    importlib.import_module(name)

spec = RunSpec().with_values({"data.source": text, "tokenizer.kind": "byte", "training.steps": 20})
run = create_run(runs_dir, spec)
run.metrics_file.write_text(json.dumps({"step": 1, "train/loss": 2.5, "lr": 0.1}) + "\n")
dashboard = Dashboard(spec, runs_dir=runs_dir, run=run.path)
dashboard.service.warm = lambda: None  # no worker for a look
for step in STEPS:
    dashboard.show(step)
    dashboard.refresh()
dashboard.show("train")

answers = [dashboard.on_beat("ready", False)]
live = next(panel for panel in dashboard.page.panels["train"] if hasattr(panel, "figure"))
deadline = time.monotonic() + 60
while live.figure._figure is None and time.monotonic() < deadline:
    answers.append(dashboard.on_beat("tick", False))
    time.sleep(0.05)
answers.append(dashboard.on_beat("tick", True))

print(
    json.dumps(
        {
            "versions": [ipywidgets.__version__, plotly.__version__, anywidget.__version__],
            "modules": modules,
            "answers": sorted(set(answers)),
            "message": dashboard.page.message.value,
            "points": [float(value) for value in live.figure._figure.data[0].y],
        }
    )
)

"""Train your own transformer from a notebook dashboard, Python, or a terminal.

Importing this package is quick and imports neither torch nor plotly: each name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tb_widgets.version import __version__

_HOMES = {
    "Dashboard": "tb_widgets.app.dashboard",
    "Pipeline": "tb_widgets.service.pipeline",
    "Run": "tb_widgets.service.run",
    "RunSpec": "tb_widgets.spec",
    "TrainingService": "tb_widgets.service.service",
    "Validation": "tb_widgets.app.notebook.validation",
    "compare": "tb_widgets.service.comparing",
    "check": "tb_widgets.service.checking",
    "list_runs": "tb_widgets.service.run",
    "preflight": "tb_widgets.service.checking",
    "preview": "tb_widgets.service.previewing",
    "train": "tb_widgets.service.run",
    "train_all": "tb_widgets.service.several",
}

__all__ = [
    "Dashboard",
    "Pipeline",
    "Run",
    "RunSpec",
    "TrainingService",
    "Validation",
    "__version__",
    "check",
    "compare",
    "list_runs",
    "preflight",
    "preview",
    "train",
    "train_all",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

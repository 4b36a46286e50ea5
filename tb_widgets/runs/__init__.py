"""Run directories: the only truth about a run. Nothing here imports torch."""

from tb_widgets.runs.checkpoints import CheckpointInfo
from tb_widgets.runs.directory import (
    RunDirectory,
    RunEntry,
    create_run,
    default_runs_dir,
    iter_runs,
    list_entries,
    model_title,
    open_run,
)
from tb_widgets.runs.status import ACTIVE, State, Status

__all__ = [
    "ACTIVE",
    "CheckpointInfo",
    "RunDirectory",
    "RunEntry",
    "State",
    "Status",
    "create_run",
    "default_runs_dir",
    "iter_runs",
    "list_entries",
    "model_title",
    "open_run",
]

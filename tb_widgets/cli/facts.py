"""What ``--json`` says, for the commands that say the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tb_widgets.runs import CheckpointInfo, RunDirectory, Status


def run_facts(run: RunDirectory, status: Status) -> dict[str, Any]:
    """Return what ``--json`` says of a run."""
    facts = {"run_id": run.id, "path": str(run.path), "state": status.state, "step": status.step}
    facts["metrics"] = status.metrics or {}
    return facts | {key: value for key, value in asdict(status).items() if key not in facts}


def checkpoint_facts(info: CheckpointInfo) -> dict[str, Any]:
    """Return what ``--json`` says of a checkpoint."""
    return {**asdict(info), "path": str(info.path)}

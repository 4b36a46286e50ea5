"""The dashboard in the Colab-like environment, whose widgets are a major version older."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FLOOR_PYTHON = REPOSITORY / ".venv-floor" / "bin" / "python"


@pytest.mark.floor
def test_a_dashboard_is_built_beats_and_draws_there(tmp_path: Path, text_file: Path) -> None:
    if not FLOOR_PYTHON.exists():
        reason = "No .venv-floor: the Colab-like floor is made by `make floor`."
        pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)

    done = subprocess.run(
        [FLOOR_PYTHON, Path(__file__).with_name("floor_dashboard.py"), tmp_path / "runs", text_file],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["versions"][0].startswith("7.")
    assert "tb_widgets.app.panels.train.live" in said["modules"]
    assert said["answers"] == [500]
    assert said["message"] == ""
    assert said["points"] == [2.5]

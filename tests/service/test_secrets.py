"""What a worker is not told, it can't write down."""

from __future__ import annotations

from pathlib import Path

import pytest

from tb_widgets.service.workers.environment import worker_environment

from .conftest import CANARIES


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5], ids=[*CANARIES])
def test_no_secret_reaches_the_worker_or_the_run(waiting, number):
    _, run = waiting
    canary = f"canary000{number}".encode()
    environment = Path(f"/proc/{run.status().pid}/environ").read_bytes()
    assert b"TB_CACHE_DIR=" in environment  # what it needs did reach it
    assert canary not in environment
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if canary in path.read_bytes()]


def test_only_what_training_needs_is_passed_on():
    kept = {
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "0",
        "OMP_NUM_THREADS": "1",
        "TB_CACHE_DIR": "/cache",
        "PYTHONPATH": "/code",
    }
    unknown = {
        "DATABASE": "postgres",
        "SLACK_URL": "https://hooks.example/T0",
        "OMP": "1",
        "MY_PATH": "/",
        "TB_NEW": "",
    }
    assert worker_environment(kept | unknown | CANARIES) == kept
    assert worker_environment({"TB_RUNS_DIR": "sftp://me:password@host/runs"}) == {}

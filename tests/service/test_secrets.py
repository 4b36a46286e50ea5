"""What a worker is not told, it can't write down."""

from __future__ import annotations

from pathlib import Path

import pytest

from tb_widgets.service.environment import worker_environment
from tb_widgets.service.service import TrainingService

from .conftest import end_all

CANARIES = {
    "HF_TOKEN": "hf_canary0001",
    "WANDB_API_KEY": "canary0002",
    "AWS_SECRET_ACCESS_KEY": "canary0003",
    "HTTPS_PROXY_WITH_LOGIN": "http://me:canary0004@proxy.example:3128",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny, until):
    """A run, and the environment of its worker, started from a process that is full of secrets."""
    service = TrainingService(tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CANARIES.items():
            patch.setenv(name, value)
        run = service.start(tiny({"training.steps": 10_000_000}))
    until(lambda: run.status().step > 0)
    environment = Path(f"/proc/{run.status().pid}/environ").read_bytes()
    service.stop(run)
    service.wait(run, 60)
    yield run, environment
    end_all(service)


@pytest.mark.parametrize("canary", ["canary0001", "canary0002", "canary0003", "canary0004"], ids=[*CANARIES])
def test_no_secret_reaches_the_worker_or_the_run(trained, canary):
    run, environment = trained
    assert b"TB_CACHE_DIR=" in environment  # what it needs did reach it
    assert canary.encode() not in environment
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if canary.encode() in path.read_bytes()]


def test_what_training_needs_is_kept():
    kept = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "1", "HTTPS_PROXY": "http://proxy:3128"}
    assert worker_environment(kept | CANARIES) == kept

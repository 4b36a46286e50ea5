"""What tests of training share: a small text, a spec that is done in a moment, and waiting with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tb_widgets.models.source import write_source
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.models.trust.consent import TrustStore
from tb_widgets.runs import RunDirectory, create_run
from tb_widgets.spec import RunSpec

Found = TypeVar("Found")
LOOK_EVERY = 0.02  # seconds

TINY = {
    "model.config": {"n_layer": 1, "n_head": 2, "n_embd": 16, "dropout": 0.1},
    "tokenizer.kind": "byte",
    "data.context_length": 16,
    "training.batch_size": 4,
    "training.steps": 20,
    "evaluation.every": 10,
    "evaluation.batches": 2,
    "evaluation.sample_length": 4,
    "checkpoints.every": 10,
}


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep prepared texts and fetched models out of the user's cache, and what tests agree to out of the config."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TB_CACHE_DIR", str(folder))
        patch.setenv("TB_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        yield folder


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of some 6,000 characters that is not all the same."""
    file = tmp_path_factory.mktemp("text") / "squares.txt"
    file.write_text(" ".join(f"{n} times {n} is {n * n}." for n in range(300)), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def tiny(text_file: Path) -> Callable[..., RunSpec]:
    """Make a spec that trains in a moment; fields by their dotted names differ from it."""

    def make(values: dict[str, Any] | None = None) -> RunSpec:
        return RunSpec().with_values(TINY | {"data.source": str(text_file)} | (values or {}))

    return make


@pytest.fixture(scope="session")
def new_run() -> Callable[[Path, RunSpec], RunDirectory]:
    """Make a run as the service leaves it for the engine: a model that is not ours lies in it, agreed to."""

    def make(folder: Path, spec: RunSpec) -> RunDirectory:
        run = create_run(folder, spec)
        if not spec.model.source.startswith("zoo:"):
            source = resolve(spec.model, vocab_size=None, context_length=1)
            write_source(source, run.model_folder)
            TrustStore().remember(source.files, spec.model.source)
        return run

    return make


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Wait until a condition holds, and return what it returned; fail when that takes too long."""

    def wait(condition: Callable[[], Found], *, within: float = 90.0) -> Found:
        deadline = time.monotonic() + within
        while not (found := condition()):
            assert time.monotonic() < deadline, f"did not happen within {within} seconds"
            time.sleep(LOOK_EVERY)
        return found

    return wait

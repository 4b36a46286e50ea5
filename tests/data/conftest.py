"""A Hub on this machine, and a process that fetches from it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tb_widgets.data.sources import ask_process as asking
from tb_widgets.data.sources import fetching, hub_facts
from tb_widgets.runs.json_process import JsonProcess

from .hub_server import HubServer


def parquet(rows: int, *, first: int = 0, group: int = 100, **columns: list[Any]) -> bytes:
    """A file of numbered texts with two classes, or of these columns."""
    numbers = range(first, first + rows)
    table = pa.table(columns or {"text": [f"row {n} is here" for n in numbers], "label": [n % 2 for n in numbers]})
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=group)
    return content.getvalue()


class Fetcher:
    """One process that answers many questions, so that a test does not wait for its imports."""

    def __init__(self, folder: Path, module: str = "tb_widgets.data.remote.process") -> None:
        self._process = JsonProcess(module, os.environ, folder=folder)

    def ask(self, request: dict[str, Any], on_progress: Any, *, within: float = 60.0) -> dict[str, Any]:
        return asking.answer_of(self._process, request, on_progress, float("inf"))

    def close(self) -> None:
        self._process.kill()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub, nobody's token, and a cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch, HubServer() as server:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TB_CACHE_LIMIT"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_ENDPOINT", server.url)
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("TB_ALLOW_LOCAL_ADDRESSES", "1")
        patch.setenv("TB_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield server


@pytest.fixture(scope="module")
def fetcher(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetcher]:
    """The process that answers the questions of this module's tests."""
    process = Fetcher(tmp_path_factory.mktemp("fetcher"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "ask", process.ask)
        patch.setattr(hub_facts, "ask", process.ask)
        yield process
    process.close()


@pytest.fixture
def quiet(hub: HubServer) -> Iterator[HubServer]:
    """The Hub without faults, and with an empty list of what it was asked."""
    hub.fault = None
    hub.seen.clear()
    yield hub
    hub.fault = None


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TB_CACHE_LIMIT", raising=False)
    return tmp_path / "cache"


def left_behind(folder: Path) -> list[str]:
    """What lies in a cache besides whole entries, notes and locks."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    names = [path.relative_to(folder).as_posix() for path in found]
    return [name for name in names if any(part.startswith(".") for part in name.split("/"))]

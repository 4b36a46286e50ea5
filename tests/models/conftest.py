from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tb_widgets.models.load import LoadedModel, build
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.spec import ModelSpec

from .github import GitHub

# Models this small are many times slower on two threads than on one when the machine is busy.
torch.set_num_threads(1)


class Export:
    """A folder with a model of the user's in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, code: str, config: str | None = "{}") -> ModelSpec:
        (self.folder / "model.py").write_text("import torch\nfrom torch import nn\n" + code, encoding="utf-8")
        if config is not None:
            (self.folder / "config.json").write_text(config, encoding="utf-8")
        return ModelSpec(source=str(self.folder))

    def build(self, code: str, config: str = "{}", **overrides: object) -> LoadedModel:
        spec = self.write(code, config).model_copy(update={"config": overrides})
        return build(resolve(spec, vocab_size=None, context_length=8))


@pytest.fixture
def export(tmp_path: Path) -> Export:
    folder = tmp_path / "export"
    folder.mkdir()
    return Export(folder)


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own, where nothing has been fetched yet."""
    monkeypatch.setenv("TB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TB_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "cache"


@pytest.fixture
def github(caches: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """A GitHub on this machine, and nobody's token."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with GitHub() as server:
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        yield server

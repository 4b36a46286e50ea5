"""Datasets of the Hugging Face Hub, through its own client. Nothing that a dataset brings along is executed.

Runs in the process that fetches: ``datasets`` reads its settings when it is imported, and weighs much.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tb_widgets.data.cache import fetched as kept
from tb_widgets.data.cache.limit import make_room
from tb_widgets.data.sources.address import HubAddress
from tb_widgets.data.sources.remote import rows as row_files
from tb_widgets.data.sources.remote.download import PIECE, Download, sha256_of
from tb_widgets.data.sources.remote.hub_errors import Explained
from tb_widgets.data.sources.remote.patience import patience
from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.version import __version__

if TYPE_CHECKING:
    from datasets import DatasetBuilder
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo

    Info = DatasetInfo | ModelInfo

Report = Callable[[str, float], None]
READ = 30.0  # seconds for one answer
TRIES, PAUSE = 4, 1.0  # attempts to go on with a row that is being read; seconds between them
PARTS = {"train": "split", "validation": "validation_split"}  # folder of a copy: the field that names its split


class Repository:
    """One repository at one commit."""

    def __init__(self, address: HubAddress, kind: str = "dataset") -> None:
        self.address, self.kind, self.api = address, kind, hub_api()
        patience.attach()
        with Explained(address, kind):
            ask = self.api.dataset_info if kind == "dataset" else self.api.model_info
            self.info: Info = ask(address.id, revision=address.revision, timeout=READ, files_metadata=True)
        self.commit = str(self.info.sha)
        self.files = {file.rfilename: file for file in self.info.siblings or []}

    def download(self, path: str, file: Path, report: Callable[[int, int], None] = lambda _here, _size: None) -> None:
        """Fetch one file and compare its checksum with the Hub's.

        Raises
        ------
        DataError
            If the Hub does not give it, or it arrives damaged.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        url = hf_hub_url(self.address.id, path, repo_type=self.kind, revision=self.commit, endpoint=self.api.endpoint)
        facts = self.files[path]
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            with Explained(self.address, self.kind):
                Download(url, file, headers=build_hf_headers(), size=facts.size, report=report).run()
        lfs = facts.lfs
        if (sha256_of(file) if lfs else _git_hash(file)) != (lfs.sha256 if lfs else facts.blob_id):
            file.unlink()
            raise DataError(
                f"{path} of the Hub's {self.address.id} arrived damaged: its checksum differs.", hint="Try again."
            )

    @cached_property
    def configs(self) -> list[str]:
        """The variants of a dataset."""
        from datasets import get_dataset_config_names

        with Explained(self.address):
            return list(get_dataset_config_names(self.address.id, revision=self.commit))

    def builder(self, config: str | None) -> DatasetBuilder:
        """Return what reads one variant.

        Raises
        ------
        DataError
            If there are several and none was chosen, or not the chosen one.
        """
        from datasets import config as settings
        from datasets import load_dataset_builder

        # The client under it has its own attempts: see Patience for how long all of them may take together.
        settings.STREAMING_READ_MAX_RETRIES = settings.STREAMING_OPEN_MAX_RETRIES = TRIES
        settings.STREAMING_READ_RETRY_INTERVAL = settings.STREAMING_OPEN_RETRY_INTERVAL = PAUSE
        names = self.configs
        if config is not None and config not in names:
            raise DataError(
                f"data.config: the Hub's {self.address.id} has no {config}.", hint=f"It has {listed(names)}."
            )
        with Explained(self.address):
            try:
                return load_dataset_builder(self.address.id, name=config, revision=self.commit)
            except ValueError as error:
                if "Config name is missing" not in str(error):
                    raise
        raise DataError(
            f"data.config: the Hub's {self.address.id} has {len(names)} variants, and none is chosen.",
            hint=f"Choose one: {listed(names)}.",
        )


def hub_api() -> HfApi:
    """Return the Hub's client."""
    from huggingface_hub import HfApi

    return HfApi(library_name="tb-widgets", library_version=__version__)


def _git_hash(file: Path) -> str:
    digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with file.open("rb") as content:
        while piece := content.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def listed(names: list[str]) -> str:
    """Return names as a sentence can bear them."""
    return f"{', '.join(names[:12])} and {len(names) - 12} more" if len(names) > 12 else ", ".join(names)


# ---- fetching --------------------------------------------------------------------------------------------------------


def fetch(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    """Make a copy of a dataset in the cache, or find it there, and return its pinned address.

    Parameters
    ----------
    asked
        ``id``, ``revision``, ``megabytes`` (``None``: all of it), ``config``, ``split``, ``validation_split``.

    Raises
    ------
    DataError
        If the Hub does not give it, what was chosen is not in it, or it can't be read or kept.
    """
    address = HubAddress(asked["id"], asked["revision"], asked["megabytes"])
    report("Asking the Hub", 0.0)
    repository = Repository(address)
    pinned = {**asked, "revision": repository.commit}
    if (known := kept.recall(pinned)) is not None:
        kept.remember(asked, known[0])
        return {"pinned": pinned}
    builder = repository.builder(asked["config"])
    splits = chosen_splits(builder, address.id, asked["split"], asked["validation_split"])
    key = kept.key_of(
        hub=address.id, revision=repository.commit, config=builder.config.name, splits=splits, size=address.megabytes
    )
    folder = default_cache_dir() / "datasets" / key
    with kept.workplace(folder, report) as growing:
        if kept.find(folder) is None:
            built = growing / "built"
            shutil.rmtree(built, ignore_errors=True)
            try:
                parts = _build(repository, builder, splits, growing, report=report)
            except BaseException:
                shutil.rmtree(built, ignore_errors=True)  # what has been downloaded whole stays, beside it
                raise
            origin: dict[str, Any] = {"kind": "hub", "id": address.id, "revision": repository.commit}
            origin["megabytes"] = address.megabytes
            origin |= {"config": builder.config.name, "splits": splits, "whole": parts["train"].whole}
            kept.finish(built, folder, {**origin, "rows": {name: part.rows for name, part in parts.items()}})
        shutil.rmtree(growing)
    for question in (asked, pinned):
        kept.remember(question, folder)
    return {"pinned": pinned}


def chosen_splits(builder: DatasetBuilder, id: str, split: str | None, validation_split: str | None) -> dict[str, str]:
    """Return which of a dataset's splits are wanted, by the folders of a copy.

    Raises
    ------
    DataError
        If one of them is not there.
    """
    names = split_names(builder)
    if split is None:
        if "train" not in names and len(names) > 1:
            raise DataError(f"data.split: the Hub's {id} has no train.", hint=f"Choose one: {listed(names)}.")
        split = "train" if "train" in names else names[0]
    chosen = {"train": split} | ({"validation": validation_split} if validation_split is not None else {})
    for part, name in chosen.items():
        if name not in names:
            raise DataError(f"data.{PARTS[part]}: the Hub's {id} has no {name}.", hint=f"It has {listed(names)}.")
    if split == validation_split:
        raise DataError(
            f"data.validation_split: {split} is what the model learns from.",
            hint="Choose another one, or leave it empty to hold back a share.",
        )
    return chosen


def split_names(builder: DatasetBuilder) -> list[str]:
    """Return the names of a dataset's splits."""
    return [str(name) for name in builder.config.data_files or {}]


def _build(
    repository: Repository,
    builder: DatasetBuilder,
    splits: dict[str, str],
    growing: Path,
    *,
    report: Report,
) -> dict[str, row_files.Written]:
    """Fill the folder ``built`` with a copy, and return what was written, by part."""
    built = growing / "built"
    megabytes = repository.address.megabytes
    if megabytes is not None:
        make_room(2 * megabytes * 1_000_000)
        limit = megabytes * 1_000_000
        with Explained(repository.address):
            return {
                part: row_files.write(builder, name, built / part, text_limit=limit, report=report)
                for part, name in splits.items()
            }
    here = {part: dict(paths_of(repository, builder, name, growing / "files")) for part, name in splits.items()}
    sizes = {path: repository.files[path].size or 0 for paths in here.values() for path in paths}
    try:
        make_room(sum(sizes.values()))
    except DataError as error:
        hint = f"Set data.streaming to true, which fetches only what the run reads. {error.hint}"
        raise DataError(error.message, hint=hint) from error
    done = 0
    for paths in here.values():
        for path, file in paths.items():
            already = done

            def tell(so_far: int, _size: int, path: str = path, already: int = already) -> None:
                share = (already + so_far) / max(1, sum(sizes.values()))
                report(f"Fetching {path}: {(already + so_far) / 1e6:.1f} of {sum(sizes.values()) / 1e6:.1f} MB", share)

            repository.download(path, file, tell)
            done += sizes[path]
    try:
        with Explained(repository.address):
            return {
                part: row_files.take_over(builder, splits[part], list(paths.values()), built / part, report=report)
                for part, paths in here.items()
            }
    except DataError:
        shutil.rmtree(growing / "files")  # whole, and of no use
        raise


def paths_of(repository: Repository, builder: DatasetBuilder, split: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Return the files of a split: where each is in the repository, and where it goes here."""
    prefix = f"hf://datasets/{repository.address.id}@{repository.commit}/"
    for number, url in enumerate((builder.config.data_files or {})[split]):
        path = str(url).removeprefix(prefix)
        if path not in repository.files:
            raise DataError(
                f"The Hub's {repository.address.id} takes files from elsewhere: {url}.", hint="Choose another dataset."
            )
        # Names of a repository are its owner's: here each file has one of ours, with its own ending.
        endings = "".join(PurePosixPath(path).suffixes[-2:])
        yield path, folder / hashlib.sha256(path.encode()).hexdigest()[:16] / f"{number:05d}{endings}"


def fetch_tokenizer(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    """Make a copy of a repository's ``tokenizer.json`` and what belongs to it; otherwise as :func:`fetch`."""
    address = HubAddress(asked["id"], asked["revision"])
    report("Asking the Hub", 0.0)
    repository = Repository(address, "model")
    pinned = {**asked, "revision": repository.commit}
    if "tokenizer.json" not in repository.files:
        raise DataError(
            f"The Hub's {address.id} has no tokenizer.json.",
            hint="Choose a model that has one, or a tokenizer that learns from your text.",
        )
    folder = default_cache_dir() / "tokenizers" / kept.key_of(**pinned)
    with kept.workplace(folder, report) as growing:
        if kept.find(folder) is None:
            names = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
            for name in (name for name in names if name in repository.files):
                report(f"Fetching {name}", 0.5)
                repository.download(name, growing / "built" / name)
            origin = {"kind": "tokenizer", "id": address.id, "revision": repository.commit}
            kept.finish(growing / "built", folder, origin)
        shutil.rmtree(growing)
    for question in (asked, pinned):
        kept.remember(question, folder)
    return {"pinned": pinned}

"""Datasets of the Hugging Face Hub, through its own clients. Nothing that a dataset brings along is executed.

Runs in the process that fetches: ``datasets`` reads its settings when it is imported, and weighs much.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tb_widgets.data.cache.built import built_folder, entry_key, recall, remember
from tb_widgets.data.cache.limit import folder_size, make_room
from tb_widgets.data.remote import rows as row_files
from tb_widgets.data.remote.hub_errors import explained
from tb_widgets.data.remote.rows import Report
from tb_widgets.errors import DataError
from tb_widgets.runs.folders import default_cache_dir
from tb_widgets.spec.hub_address import HubAddress
from tb_widgets.version import __version__
from tb_widgets.wording import listed, size_in_words

if TYPE_CHECKING:
    from datasets import DatasetBuilder
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo

    Info = DatasetInfo | ModelInfo

_READ = 30.0  # seconds for one answer
AT_ONCE = 8  # downloads
LOOKED_EVERY = 0.2  # seconds between two looks at how much has arrived
PARTS = {"train": "split", "validation": "validation_split"}  # folder of a copy: the field that names its split
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


class Repository:
    """One repository at one commit."""

    def __init__(self, address: HubAddress, kind: str = "dataset") -> None:
        self.address, self.kind, self.api = address, kind, hub_api()
        with explained(address, kind):
            ask = self.api.dataset_info if kind == "dataset" else self.api.model_info
            self.info: Info = ask(address.id, revision=address.revision, timeout=_READ, files_metadata=True)
        self.commit = str(self.info.sha)
        self.sizes = {file.rfilename: file.size or 0 for file in self.info.siblings or []}

    def download(self, paths: Sequence[str], folder: Path, report: Report) -> None:
        """Fetch files into a folder, as they lie in the repository, and compare their checksums with the Hub's.

        Files that are whole in the folder are not fetched again.

        Raises
        ------
        DataError
            If the Hub does not give one, or it arrives damaged.
        """
        try:
            self._download(paths, folder, report)
        except DataError:
            if not any((folder / path).exists() for path in paths):
                shutil.rmtree(folder, ignore_errors=True)  # there is nothing to go on with
            raise

    def _download(self, paths: Sequence[str], folder: Path, report: Report) -> None:
        id, kind = self.address.id, self.kind

        def fetch(path: str) -> None:
            self.api.hf_hub_download(id, path, repo_type=kind, revision=self.commit, local_dir=folder)

        with explained(self.address, kind):
            size = sum(self.sizes[path] for path in paths)
            # As snapshot_download does it, which compares each file of a repository with each pattern: with thousands
            # of files that takes longer than the download.
            with _watched(folder, size, report), ThreadPoolExecutor(AT_ONCE) as pool:
                deque(pool.map(fetch, paths), maxlen=0)
            report("Comparing checksums", 1.0)
            found = self.api.verify_repo_checksums(id, repo_type=kind, revision=self.commit, local_dir=folder)
        damaged = [mismatch["path"] for mismatch in found.mismatches if mismatch["path"] in paths]
        for path in damaged:
            (folder / path).unlink()
        if damaged or not set(paths).isdisjoint(found.missing_paths):
            path = next(iter(damaged), "A file")
            raise DataError(f"{path} of {id} on the Hub arrived damaged: its checksum differs.", hint="Try again.")

    @cached_property
    def configs(self) -> list[str]:
        """The variants of a dataset."""
        from datasets import get_dataset_config_names

        with explained(self.address):
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

        # The client under it tries each request again for half a minute, which is enough.
        settings.STREAMING_READ_MAX_RETRIES = settings.STREAMING_OPEN_MAX_RETRIES = 1
        names = self.configs
        if config is not None and config not in names:
            raise DataError(
                f"data.config: {self.address.id} on the Hub has no configuration {config}.",
                hint=f"It has {listed(names)}.",
            )
        with explained(self.address):
            try:
                return load_dataset_builder(self.address.id, name=config, revision=self.commit)
            except ValueError as error:
                if "Config name is missing" not in str(error):
                    raise
        raise DataError(
            f"data.config: {self.address.id} on the Hub has {len(names)} configurations, and none is chosen.",
            hint=f"Choose one: {listed(names)}.",
        )

    def paths_of(self, builder: DatasetBuilder, split: str) -> list[str]:
        """Return the files of a split.

        Raises
        ------
        DataError
            If one is not in the repository.
        """
        prefix = f"hf://datasets/{self.address.id}@{self.commit}/"
        paths = [str(url).removeprefix(prefix) for url in (builder.config.data_files or {})[split]]
        for path in paths:
            if path not in self.sizes or ".." in PurePosixPath(path).parts:
                raise DataError(
                    f"{self.address.id} on the Hub loads files from another site: {path}.",
                    hint="Choose another dataset.",
                )
        return paths


@contextmanager
def _watched(folder: Path, size: int, report: Report) -> Iterator[None]:
    """Tell while the block runs how much has arrived in a folder: every client shows that in a way of its own."""
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(LOOKED_EVERY):
            with suppress(FileNotFoundError):  # it has just been moved to its place
                here = folder_size(folder)
                report(f"Fetching {size_in_words(here)} of {size_in_words(size)}", here / max(1, size))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def hub_api() -> HfApi:
    """Return the Hub's client."""
    from huggingface_hub import HfApi

    return HfApi(library_name="tb-widgets", library_version=__version__)


# ---- fetching --------------------------------------------------------------------------------------------------------


def fetch_dataset(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    """Make a copy of a dataset in the cache, or find it there, and return what was asked for at its full revision.

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
    if (known := recall(pinned)) is not None:
        remember(asked, known[0])
        return {"pinned": pinned}
    builder = repository.builder(asked["config"])
    splits = chosen_splits(builder, address.id, asked["split"], asked["validation_split"])
    origin: dict[str, Any] = {"id": address.id, "revision": repository.commit, "megabytes": address.megabytes}
    origin |= {"config": builder.config.name, "splits": splits}

    def build(folder: Path) -> dict[str, Any]:
        make = _all_of_it if address.megabytes is None else _beginning_of_it
        parts = make(repository, builder, splits, folder, report)
        rows = {name: part.rows for name, part in parts.items()}
        return {"kind": "hub", **origin, "rows": rows, "whole": parts["train"].whole}

    _answered([asked, pinned], "datasets", entry_key(**origin), build, report)
    return {"pinned": pinned}


def fetch_tokenizer_files(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    """Make a copy of a repository's ``tokenizer.json`` and what belongs to it; otherwise as :func:`fetch_dataset`."""
    address = HubAddress(asked["id"], asked["revision"])
    report("Asking the Hub", 0.0)
    repository = Repository(address, "model")
    pinned = {**asked, "revision": repository.commit}
    if _TOKENIZER_FILES[0] not in repository.sizes:
        raise DataError(
            f"{address.id} on the Hub has no tokenizer.json.",
            hint="Choose a model that has one, or a tokenizer that learns from your text.",
        )

    def build(folder: Path) -> dict[str, Any]:
        paths, files = [name for name in _TOKENIZER_FILES if name in repository.sizes], folder.with_name("files")
        repository.download(paths, files, report)
        for path in paths:
            (files / path).replace(folder / path)
        return {"kind": "tokenizer", "id": address.id, "revision": repository.commit}

    _answered([asked, pinned], "tokenizers", entry_key(**pinned), build, report)
    return {"pinned": pinned}


def _answered(
    questions: list[dict[str, Any]], group: str, key: str, build: Callable[[Path], dict[str, Any]], report: Report
) -> None:
    folder = built_folder(
        default_cache_dir() / group,
        key,
        build,
        on_wait=lambda: report("Waiting for another process to fetch the same", 0.0),
    )
    for question in questions:
        remember(question, folder)


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
            raise DataError(f"data.split: {id} on the Hub has no split train.", hint=f"Choose one: {listed(names)}.")
        split = "train" if "train" in names else names[0]
    chosen = {"train": split} | ({"validation": validation_split} if validation_split is not None else {})
    for part, name in chosen.items():
        if name not in names:
            raise DataError(
                f"data.{PARTS[part]}: {id} on the Hub has no split {name}.", hint=f"It has {listed(names)}."
            )
    if split == validation_split:
        raise DataError(
            f"data.validation_split: {split} is the training split.",
            hint="Choose another split, or leave it empty to keep a fraction for validation.",
        )
    return chosen


def split_names(builder: DatasetBuilder) -> list[str]:
    """Return the names of a dataset's splits."""
    return [str(name) for name in builder.config.data_files or {}]


def _beginning_of_it(
    repository: Repository, builder: DatasetBuilder, splits: dict[str, str], folder: Path, report: Report
) -> dict[str, row_files.Written]:
    limit = (repository.address.megabytes or 0) * 1_000_000
    make_room(2 * limit)
    with explained(repository.address):
        return {
            part: row_files.write_rows(builder, name, folder / part, text_limit=limit, report=report)
            for part, name in splits.items()
        }


def _all_of_it(
    repository: Repository, builder: DatasetBuilder, splits: dict[str, str], folder: Path, report: Report
) -> dict[str, row_files.Written]:
    paths = {part: repository.paths_of(builder, name) for part, name in splits.items()}
    wanted = [path for of_part in paths.values() for path in of_part]
    try:
        make_room(sum(repository.sizes[path] for path in wanted))
    except DataError as error:
        hint = f"Set data.streaming to true, to fetch only what the run reads. {error.hint}"
        raise DataError(error.message, hint=hint) from error
    files = folder.with_name("files")
    repository.download(wanted, files, report)
    try:
        with explained(repository.address):
            return {
                part: row_files.take_over(
                    builder, splits[part], [files / path for path in of_part], folder / part, report=report
                )
                for part, of_part in paths.items()
            }
    except DataError:
        shutil.rmtree(files)  # whole, and of no use
        raise

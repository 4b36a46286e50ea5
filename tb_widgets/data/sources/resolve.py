"""What ``data.source`` names, told once: data of ours, files of this machine, or a copy of what is elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tb_widgets.data.cache.built import recall
from tb_widgets.data.formats.files import find_files, opened_files
from tb_widgets.data.parts import Parts, set_apart
from tb_widgets.data.sources.address import is_web
from tb_widgets.data.sources.builtin import is_built_in
from tb_widgets.errors import DataError
from tb_widgets.spec import DataSpec
from tb_widgets.spec.hub_address import HUB, HubAddress, parse_hub

BYTES_PER_TOKEN = 8  # generous: English takes 3 to 5
_LEAST, _USUAL = 4, 16  # MB of text that are fetched of a dataset at least, and where nobody says for how many tokens


@dataclass(frozen=True)
class DataSource:
    """Where data come from, and what of them is here.

    What is here is looked up once: after a fetch, :func:`resolve_source` gives a new value.

    Attributes
    ----------
    data
        The section of the run spec.
    kind
        ``built-in``, ``files`` of this machine, a dataset of the ``hub``, or one file at an ``address``.
    """

    data: DataSpec
    kind: Literal["built-in", "files", "hub", "address"]

    @property
    def is_built_in(self) -> bool:
        """Whether the data need no file of the user's."""
        return self.kind == "built-in"

    @property
    def is_remote(self) -> bool:
        """Whether the data are elsewhere, so that a copy is needed."""
        return self.kind in ("hub", "address")

    @property
    def is_here(self) -> bool:
        """Whether the data can be read; those that need no copy are taken to be here.

        Raises
        ------
        DataError
            If the source begins like an address of the Hub, and is none.
        """
        return not self.is_remote or self._found is not None

    @property
    def name(self) -> str:
        """What sentences call the data."""
        if self.kind == "hub":
            return self.address.id
        if self.kind == "address":
            return self.files[0].name
        return Path(self.data.source).name or self.data.source

    @property
    def address(self) -> HubAddress:
        """The address of a Hub dataset.

        Raises
        ------
        DataError
            If it is none.
        """
        return parse_hub(self.data.source)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of a copy to learn from: parquet of a Hub dataset, or the one file of an address.

        Raises
        ------
        DataError
            If the data have not been fetched yet.
        """
        return self._files_of("train")

    @property
    def size(self) -> int:
        """Bytes of a copy, what is held back included."""
        return sum(self._copy[1]["files"].values())

    @property
    def rows(self) -> int | None:
        """Rows of the copy of a Hub dataset; ``None`` of any other."""
        facts = self._copy[1]
        return facts["rows"]["train"] if "rows" in facts else None

    @property
    def facts(self) -> dict[str, Any] | None:
        """What is known of a copy, such as ``revision``, and the time when it was ``built``; ``None`` without one."""
        return self._found[1] if self._found is not None else None

    def parts(self) -> Parts:
        """Find the files of data that are not ours: to train on, to hold back, and to leave out.

        Raises
        ------
        DataError
            If they are missing, were not fetched, are of several kinds, or none is the part that is to be held back.
        """
        if self.kind == "hub":
            own = self._files_of("validation")
            files = opened_files([*self.files, *own])
            return Parts(
                [file for file in files if file.path not in own], [file for file in files if file.path in own], []
            )
        files = opened_files([*self.files] if self.is_remote else find_files(self.data.source))
        if self.data.validation_split is None:
            return Parts(files, [], [])
        return set_apart(files, self.data.validation_split)

    def pinned(self, *, tokens: int | None = None) -> DataSpec:
        """Return the data as a run keeps them: a Hub dataset by the full revision and size of the copy that is here.

        Raises
        ------
        DataError
            If there is no copy, or not enough of it for so many tokens.
        """
        if self.kind != "hub":
            return self.data
        _, facts = self._copy
        megabytes = facts["megabytes"]
        is_open = megabytes is not None and not facts["whole"] and self.address.megabytes is None
        if is_open and megabytes < megabytes_for(self.data, tokens or 0):
            raise DataError(
                f"Only the first {megabytes} MB of {self.data.source} are here, and this run reads more.",
                hint="Fetch it again.",
            )
        return self.at(self.address.pinned(facts["revision"], megabytes)).data

    def at(self, address: HubAddress) -> DataSource:
        """Return the same choice of another revision, or of another size."""
        return replace(self, data=self.data.model_copy(update={"source": str(address)}))

    @property
    def question(self) -> dict[str, Any]:
        """What decides which files are fetched."""
        if self.kind == "address":
            return {"url": self.data.source}
        return {
            "id": self.address.id,
            "revision": self.address.revision,
            "megabytes": self.address.megabytes,
            "streaming": self.data.streaming or self.address.megabytes is not None,
            "config": self.data.config,
            "split": self.data.split,
            "validation_split": self.data.validation_split,
        }

    @cached_property
    def _found(self) -> tuple[Path, dict[str, Any]] | None:
        return recall(self.question)

    @property
    def _copy(self) -> tuple[Path, dict[str, Any]]:
        if self._found is None:
            raise not_yet(self.data.source)
        return self._found

    def _files_of(self, part: str) -> tuple[Path, ...]:
        folder, facts = self._copy
        if self.kind == "address":
            return tuple(folder / name for name in facts["files"])
        return tuple(sorted(folder / name for name in facts["files"] if name.startswith(f"{part}/")))


def resolve_source(data: DataSpec) -> DataSource:
    """Tell where data come from; a fault in an address is told by whatever needs the address."""
    if is_built_in(data.source):
        return DataSource(data, "built-in")
    if data.source.startswith(HUB):
        return DataSource(data, "hub")
    return DataSource(data, "address" if is_web(data.source) else "files")


def not_yet(source: str) -> DataError:
    """Return what is said of something that is elsewhere, and no copy of it here."""
    return DataError(
        f"{source} has not been downloaded yet.", hint="Download it in the Data step, or with: tb-widgets data SOURCE."
    )


def megabytes_for(data: DataSpec, tokens: int | None) -> int:
    """Return how much text gives so many tokens; in powers of two, so that runs of about one length share a copy."""
    if tokens is None:
        return _USUAL
    needed = tokens * BYTES_PER_TOKEN / (1 - data.validation_fraction) / 1e6
    return max(_LEAST, 1 << math.ceil(math.log2(max(1.0, needed))))

"""What a dataset of the Hub holds, and which there are; nothing of them is kept."""

from __future__ import annotations

from dataclasses import dataclass

from tb_widgets.data.sources.ask_process import Progress, ask
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.spec import DataSpec

LOOK_WITHIN = 120.0  # seconds for a search, or a look at a dataset


@dataclass(frozen=True)
class Split:
    """A part of a Hub dataset: its name, the bytes of its files, and its rows where the dataset tells them."""

    name: str
    size: int
    rows: int | None


@dataclass(frozen=True)
class HubColumn:
    """A column of a dataset; ``kind`` as in :class:`~tb_widgets.data.formats.values.Column`, and its classes."""

    name: str
    kind: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class HubFacts:
    """What a Hub dataset holds, before anything of it is kept here.

    Attributes
    ----------
    id, revision
        The repository, and its full commit.
    configs
        Its variants.
    config
        The one that was looked at; ``None`` where one must be chosen first, and then the rest is empty.
    splits, columns, first_rows
        Of that variant; values of rows are cut at 300 characters.
    """

    id: str
    revision: str
    description: str
    configs: tuple[str, ...]
    config: str | None
    splits: tuple[Split, ...]
    columns: tuple[HubColumn, ...]
    first_rows: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class HubHit:
    """A dataset that a search found. ``rows`` is the Hub's class of sizes, such as ``10K<n<100K``, or empty."""

    id: str
    downloads: int
    rows: str
    gated: bool
    about: str


def inspect_hub(data: DataSpec, *, on_progress: Progress | None = None) -> HubFacts:
    """Tell what a Hub dataset holds: variants, splits with sizes, columns, first rows. Only its beginning is read.

    Raises
    ------
    DataError
        If the Hub does not give it, or what was chosen is not there.
    """
    answer = ask({"ask": "inspect", "asked": resolve_source(data).question}, on_progress, within=LOOK_WITHIN)
    return HubFacts(
        id=answer["id"],
        revision=answer["revision"],
        description=answer["description"],
        configs=tuple(answer["configs"]),
        config=answer["config"],
        splits=tuple(Split(**split) for split in answer["splits"]),
        columns=tuple(
            HubColumn(column["name"], column["kind"], tuple(column["names"])) for column in answer["columns"]
        ),
        first_rows=tuple(answer["first_rows"]),
    )


def search_hub(words: str, *, limit: int = 20, on_progress: Progress | None = None) -> list[HubHit]:
    """Return the datasets of the Hub that fit some words, the most used first.

    Raises
    ------
    DataError
        If the Hub can't be reached.
    """
    answer = ask({"ask": "search", "words": words, "limit": limit}, on_progress, within=LOOK_WITHIN)
    return [HubHit(**hit) for hit in answer["hits"]]

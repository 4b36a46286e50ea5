"""What the faces ask of data: where they are, what there is to begin with, and what arrives from a browser.

Panels and commands know these names and no room below the service, so that one may be rearranged without the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tb_widgets.data.cache.limit import CacheUse, Cleared, cache_use, clear_cache
from tb_widgets.data.formats.files import find_files, opened_files
from tb_widgets.data.preview.result import Bar, Preview
from tb_widgets.data.preview.shown_batch import BatchRow, Marked
from tb_widgets.data.reading.beginning import read_beginning
from tb_widgets.data.sources import uploads
from tb_widgets.data.sources.builtin import list_sources
from tb_widgets.data.sources.curated import Curated, list_curated
from tb_widgets.data.sources.fetching import (
    fetch_data,
    fetch_tokenizer,
    local_tokenizer,
    pinned_tokenizer,
)
from tb_widgets.data.sources.hub_facts import HubFacts, HubHit, inspect_hub, search_hub
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.spec import TASKS, DataSpec, Task
from tb_widgets.spec.hub_address import parse_hub

__all__ = [
    "Bar",
    "BatchRow",
    "CacheUse",
    "Cleared",
    "HubFacts",
    "HubHit",
    "Marked",
    "Offer",
    "Preview",
    "cache_use",
    "clear_cache",
    "fetch_data",
    "fetch_tokenizer",
    "find_files",
    "inspect_hub",
    "local_tokenizer",
    "offer_of",
    "offers",
    "opened_files",
    "pinned_tokenizer",
    "read_beginning",
    "resolve_source",
    "search_hub",
    "uploads",
]


@dataclass(frozen=True)
class Offer:
    """Data to begin with: ours, or a well-known dataset with what must be chosen in it filled in.

    Attributes
    ----------
    name, title, help
        What a list shows; ``help`` is one line.
    tasks
        What they serve.
    megabytes
        About what is downloaded; 0 for ours.
    values
        Fields of the data section, by name.
    """

    name: str
    title: str
    help: str
    tasks: tuple[Task, ...]
    megabytes: float
    values: dict[str, Any]

    @property
    def serves(self) -> str:
        """For which models they are, in words."""
        return f"a model that {' or '.join(dict.fromkeys(TASKS[task].does for task in self.tasks))}"


def offers() -> Iterator[Offer]:
    """Yield what there is to begin with: ours first."""
    for ours in list_sources():
        yield Offer(ours.name, ours.title, ours.help, ours.tasks, 0, {"source": ours.name})
    for known in list_curated():
        yield Offer(known.name, known.title, known.help, known.tasks, known.megabytes, known.values)


def offer_of(data: DataSpec) -> Offer | None:
    """Return the offer that data are from, at whatever revision; ``None`` for one's own."""
    name = next((known.name for known in list_curated() if _is(data, known)), data.source)
    return next((offer for offer in offers() if offer.name == name), None)


def _is(data: DataSpec, known: Curated) -> bool:
    source = str(known.values["source"])
    if source.startswith("hub:"):
        same = data.source.startswith("hub:") and parse_hub(data.source).id == parse_hub(source).id
        return same and data.config == known.values.get("config")
    return data.source == source

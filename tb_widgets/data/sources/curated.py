"""Datasets to begin with: small or well known, with what must be chosen in them filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tb_widgets.spec import Task


@dataclass(frozen=True)
class Curated:
    """A dataset for beginners.

    Attributes
    ----------
    name, title, help
        What a list shows; ``help`` is one line.
    megabytes
        About what is downloaded. The dataset itself says exactly.
    tasks
        What it serves.
    values
        Fields of the data section, by name.
    """

    name: str
    title: str
    help: str
    megabytes: float
    tasks: tuple[Task, ...]
    values: dict[str, Any] = field(hash=False)


_TEXT: tuple[Task, ...] = ("causal-lm", "masked-lm", "seq2seq")
_SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"

_CURATED = (
    Curated(
        "tiny_shakespeare",
        "Tiny Shakespeare (plays)",
        "40,000 lines of Shakespeare in one file: the classic first text. Learns in minutes.",
        1.1,
        _TEXT,
        {"source": _SHAKESPEARE},
    ),
    Curated(
        "wikitext-2-raw",
        "WikiText-2 (encyclopaedia)",
        "2 million words from good Wikipedia articles, with their own validation split.",
        7,
        _TEXT,
        {
            "source": "hub:Salesforce/wikitext",
            "config": "wikitext-2-raw-v1",
            "validation_split": "validation",
            "columns": {"text": "text"},
        },
    ),
    Curated(
        "wikitext-103-raw",
        "WikiText-103 (encyclopaedia, large)",
        "103 million words from the same source, for models that train for hours.",
        314,
        _TEXT,
        {
            "source": "hub:Salesforce/wikitext",
            "config": "wikitext-103-raw-v1",
            "validation_split": "validation",
            "columns": {"text": "text"},
        },
    ),
    Curated(
        "TinyStories",
        "TinyStories (for small models)",
        "2 million short stories in simple words, which even small models learn to write. Fetched as needed.",
        1000,
        _TEXT,
        {
            "source": "hub:roneneldan/TinyStories",
            "validation_split": "validation",
            "streaming": True,
            "columns": {"text": "text"},
        },
    ),
    Curated(
        "imdb",
        "IMDb (film reviews, 2 classes)",
        "25,000 positive and negative film reviews, and as many for validation.",
        42,
        ("sequence-classification",),
        {
            "source": "hub:stanfordnlp/imdb",
            "validation_split": "test",
            "columns": {"text": "text", "label": "label"},
        },
    ),
    Curated(
        "ag_news",
        "AG News (headlines, 4 classes)",
        "120,000 short news items: world, sports, business, or science and technology.",
        20,
        ("sequence-classification",),
        {
            "source": "hub:fancyzhx/ag_news",
            "validation_split": "test",
            "columns": {"text": "text", "label": "label"},
        },
    ),
    Curated(
        "opus_books",
        "Opus Books (English to French)",
        "127,000 sentences from novels, with their translations.",
        21,
        ("seq2seq",),
        {
            "source": "hub:Helsinki-NLP/opus_books",
            "config": "en-fr",
            "columns": {"source": "translation.en", "target": "translation.fr"},
        },
    ),
)


def list_curated(task: Task | None = None) -> list[Curated]:
    """Return the datasets for beginners, or those that serve a task."""
    return [entry for entry in _CURATED if task is None or task in entry.tasks]

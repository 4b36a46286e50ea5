"""What the engine asks of prepared data, whatever the task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tb_widgets.data.batches.windows import Batches
from tb_widgets.data.counting import Counted
from tb_widgets.data.tokenizers.make import Tokenizer
from tb_widgets.data.tokenizers.special_tokens import vocabulary_with_specials
from tb_widgets.spec import Task
from tb_widgets.spec.batch import Batch

WAITING_FOR_TEXT = "Waiting for another run to prepare the same text"


@dataclass(frozen=True)
class ValidationExample:
    """One validation example as a person reads it: what the model is shown, and what would be right.

    An image has a ``picture``: a small PNG in base64.
    """

    prompt: str
    expected: str = ""
    picture: str = ""


@dataclass
class PreparedData(ABC):
    """Data as numbers, for one task.

    Attributes
    ----------
    task
        What the batches are for.
    fingerprint
        SHA-256 over everything that the batches are made of: equal fingerprints mean equal data.
    statistics
        A few numbers about the data, for the journal.
    tokenizer
        What turned text into numbers; ``None`` for images.
    classes
        Names of the classes, in the order of their labels; empty where nothing is classified.
    notes
        Sentences for the user about what was left out or cut.
    """

    task: Task
    fingerprint: str
    statistics: dict[str, Any]
    tokenizer: Tokenizer | None
    classes: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def sentinels(self) -> int:
        """How many spans are cut out of each text that the model is to write; 0 where none are."""
        return 0

    @property
    def document_end(self) -> int | None:
        """What stands after each document of a text that is to be continued; ``None`` where there is one document."""
        return None

    @property
    def vocab_size(self) -> int | None:
        """How many token ids a model must know to read the batches, special ones included; ``None`` for images."""
        if self.tokenizer is None:
            return None
        return vocabulary_with_specials(self.tokenizer.vocab_size, self.task, own=self.tokenizer.special)

    @property
    def units(self) -> str:
        """What a label is one of, in the plural, as people call it."""
        if self.classes or self.tokenizer is None:
            return "classes"
        return {"char": "characters", "byte": "bytes"}.get(self.tokenizer.kind, "tokens")

    def baselines(self, validation: Sequence[Batch]) -> Counted:
        """Return the losses that guessing and counting the training data get on validation batches."""
        return Counted(
            reason=f"No n-gram baselines for {self.task}: its labels depend on more than the tokens before them."
        )

    def facts(self, validation: Sequence[Batch]) -> dict[str, float]:
        """Return what metrics over validation batches need to know of the data, by the names that they use."""
        return {"classes": len(self.classes)} if self.classes else {}

    @abstractmethod
    def train_batches(self, *, batch_size: int, seed: int) -> Batches:
        """Return the training batches, a pure function of seed, step and fingerprint."""

    @abstractmethod
    def validation_batches(self, *, batch_size: int, batches: int) -> list[Batch]:
        """Return at most so many batches of validation examples, always the same ones."""

    @abstractmethod
    def validation_examples(self, number: int) -> list[ValidationExample]:
        """Return some validation examples for people, always the same ones; no labels where text is continued."""

"""What a model answers while it trains, for people to read."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from tb_widgets.data.batches.prepared_data import PreparedData, ValidationExample
from tb_widgets.engine.inference.class_words import classes_in_words
from tb_widgets.engine.inference.load_checkpoint import TrainedModel
from tb_widgets.engine.inference.writer import Writer
from tb_widgets.errors import ModelError
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.modes import in_mode
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.spec import TASKS, RunSpec

SAMPLING_SHARE = 0.01  # of the training time, at most, goes into samples
_SHOWN = 3  # validation examples, where each has a known answer


class Sampler:
    """Lets a model answer the prompts of a spec, or some validation examples where it names none.

    Raises
    ------
    ModelError
        If a prompt of the spec is nothing that the model can answer, or is a text where the model reads none.
    """

    def __init__(self, spec: RunSpec, model: LoadedModel, data: PreparedData, device: torch.device) -> None:
        self._spec, self._model, self._data, self._device = spec, model, data, device
        self._seconds = 0.0
        prompts = [ValidationExample(prompt) for prompt in spec.evaluation.prompts]
        if prompts and data.tokenizer is None:
            raise ModelError(
                "evaluation.prompts contains text, but the model classifies images.",
                hint="Leave it empty: validation images are shown instead.",
            )
        self._shown = prompts or data.validation_examples(1 if TASKS[model.task].continues else _SHOWN)
        self._writer = None
        if data.tokenizer is not None:
            length, end = spec.data.context_length, data.document_end
            trained = TrainedModel(model, device, data.tokenizer, length, data.classes, data.sentinels, end)
            self._writer = Writer(trained)
            for shown in prompts:
                self._writer.check(shown.prompt)

    def may_sample(self, elapsed: float) -> bool:
        """Whether there is time for samples, of so many seconds of training."""
        return self._seconds <= SAMPLING_SHARE * elapsed

    def write(self, journal: JournalWriter, step: int) -> None:
        """Hand the samples of a step to the journal; none where the spec gives them no length."""
        if not self._spec.evaluation.sample_length:
            return
        began = time.perf_counter()
        with in_mode(self._model.module, training=False):
            for sample in self.samples():
                journal.sample({"step": step, "time": round(time.time(), 3), **sample})
        self._seconds += time.perf_counter() - began

    def samples(self) -> Iterator[dict[str, str]]:
        """Yield what a line of the samples file holds.

        ``prompt`` and ``text``, the answer; ``task`` where that is not to go on from the prompt; ``expected`` where
        it is known what would be right; ``picture``, a PNG in base64, where it is an image.
        """
        answers = self._texts() if self._writer is not None else self._images()
        task = {} if TASKS[self._model.task].continues else {"task": self._model.task}
        for shown, text in zip(self._shown, answers, strict=True):
            known = {"expected": shown.expected} if shown.expected else {}
            seen = {"picture": shown.picture} if shown.picture else {}
            yield {"prompt": shown.prompt, "text": text, **task, **known, **seen}

    def _texts(self) -> Iterator[str]:
        assert self._writer is not None  # noqa: S101  (for the type checker)
        for shown in self._shown:
            pieces = self._writer.write(
                shown.prompt, length=self._spec.evaluation.sample_length, seed=self._spec.training.seed
            )
            yield "".join(pieces)

    def _images(self) -> Iterator[str]:
        (batch,) = self._data.validation_batches(batch_size=len(self._shown), batches=1)
        with torch.no_grad():
            logits = self._model.logits({"images": batch["images"].to(self._device)}).float()
        for row in logits:
            yield classes_in_words(row, self._data.classes)

"""What a model answers while it trains, for people to read."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tb_widgets.data.task_data import HeldBack, PreparedData
from tb_widgets.engine.writer import Writer
from tb_widgets.models.load import LoadedModel
from tb_widgets.spec import RunSpec


class Sampler:
    """Lets a model answer the prompts of a spec, or some held-back examples where it names none."""

    def __init__(self, spec: RunSpec, model: LoadedModel, data: PreparedData, device: torch.device) -> None:
        self._spec = spec
        self._shown = [HeldBack(prompt) for prompt in spec.evaluation.prompts] or data.held_back(1)
        assert data.tokenizer is not None  # noqa: S101  (for the type checker)
        self._writer = Writer(model, data.tokenizer, spec.data.context_length, device)

    def samples(self) -> Iterator[dict[str, str]]:
        """Yield what a line of the samples file holds: ``prompt``, ``text``, and ``expected`` where that is known."""
        for shown in self._shown:
            pieces = self._writer.write(
                shown.prompt, length=self._spec.evaluation.sample_length, seed=self._spec.training.seed
            )
            known = {"expected": shown.expected} if shown.expected else {}
            yield {"prompt": shown.prompt, "text": "".join(pieces), **known}

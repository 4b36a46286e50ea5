"""A checkpoint's model, ready to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tb_widgets.data.tokenizers import Tokenizer, load_tokenizer
from tb_widgets.engine.hardware import choose_device
from tb_widgets.engine.sampling import sample_tokens
from tb_widgets.engine.state import load_weights
from tb_widgets.errors import ModelError
from tb_widgets.models.load import LoadedModel, build, from_module, read_source
from tb_widgets.runs import RunDirectory


@dataclass(frozen=True)
class Writer:
    """A model in evaluation mode together with its tokenizer."""

    model: LoadedModel
    tokenizer: Tokenizer
    context_length: int
    device: torch.device

    def write(
        self, prompt: str, *, length: int, temperature: float = 0.8, top_k: int | None = 40, seed: int = 0
    ) -> Iterator[str]:
        """Yield the continuation of a prompt piece by piece, as soon as whole characters are there.

        Parameters
        ----------
        prompt
            Any text; empty begins with a line break.
        length
            New tokens.
        """
        start = [int(token) for token in self.tokenizer.encode(prompt or "\n")]
        if not start:
            raise ModelError(
                "The tokenizer can't read this prompt.", hint="Write a word or two in the text's own language."
            )
        tokens: list[int] = []
        shown = ""
        with torch.inference_mode():
            for token in sample_tokens(
                self.model.logits,
                start,
                context_length=self.context_length,
                length=length,
                vocab_size=self.tokenizer.vocab_size,
                temperature=temperature,
                top_k=top_k,
                seed=seed,
                device=self.device,
            ):
                tokens.append(token)
                text = self.tokenizer.decode(tokens)
                # A token may end inside a character; its first half decodes to a replacement sign.
                if text.startswith(shown) and not text.endswith("\ufffd"):
                    yield text[len(shown) :]
                    shown = text


def open_writer(run: RunDirectory, checkpoint: Path, *, module: nn.Module | None = None) -> Writer:
    """Build a run's model, load a checkpoint's weights into it, and return both with the run's tokenizer.

    Raises
    ------
    ModelError
        If the run trained a live module and none is given.
    CheckpointError
        If the weights do not fit.
    """
    if module is not None:
        model = from_module(module, run.spec.model)
    elif run.model_folder.is_dir():
        model = build(read_source(run.model_folder), run.spec.model)
    else:
        raise ModelError(
            f"{run.id} trained a live nn.Module, whose code is not in the run.",
            hint="Pass a module of the same shape: run.best.generate(..., module=my_model).",
        )
    load_weights(model.module, checkpoint)
    device = choose_device(run.spec.hardware.device)
    model.module.to(device).eval()
    return Writer(model, load_tokenizer(run.tokenizer_folder), run.spec.data.context_length, device)

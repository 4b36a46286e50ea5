"""A checkpoint's model, ready to answer a prompt in the way of its task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from tb_widgets.data.batches.padded import pad
from tb_widgets.data.tokenizers.special_tokens import MASK_TEXT, SpecialTokens
from tb_widgets.engine.inference.class_words import classes_in_words
from tb_widgets.engine.inference.load_checkpoint import TrainedModel, load_checkpoint
from tb_widgets.engine.inference.looker import Looker
from tb_widgets.engine.inference.sampling import sample_tokens
from tb_widgets.errors import ModelError
from tb_widgets.runs import RunDirectory
from tb_widgets.spec.batch import Batch


class Writer:
    """Answers prompts with a model that reads texts."""

    def __init__(self, trained: TrainedModel) -> None:
        assert trained.tokenizer is not None  # noqa: S101  (it reads texts)
        self.model, self.tokenizer, self.device = trained.model, trained.tokenizer, trained.device
        self.context_length, self.classes = trained.context_length, trained.classes
        self.sentinels, self.document_end = trained.sentinels, trained.document_end

    def write(
        self, prompt: str, *, length: int, temperature: float = 0.8, top_k: int | None = 40, seed: int = 0
    ) -> Iterator[str]:
        """Yield the answer to a prompt piece by piece, as soon as whole characters are there.

        A causal language model goes on from the prompt, to the end of the document where it has learned from several.
        A masked one writes the prompt again with each ``[MASK]``
        filled by its likeliest token, between « and ». A sequence-to-sequence model turns the prompt into another
        text; one that has learned to write what was cut out of texts (``sentinels``) fills each ``[MASK]`` with as many
        tokens as it likes. A classifier says how probable each class is.

        Parameters
        ----------
        prompt
            Any text; for a causal language model empty begins with a line break.
        length
            New tokens at most, where there are new tokens.
        temperature, top_k, seed
            How a causal language model chooses; the others always take what is likeliest.

        Raises
        ------
        ModelError
            If the prompt is nothing that the model can answer.
        """
        self.check(prompt)
        with torch.no_grad():
            if self.model.task == "masked-lm":
                yield from self._fill(prompt)
            elif self.sentinels:
                yield self._restore(prompt, length)
            elif self.model.task == "seq2seq":
                yield from self._whole_characters(self._answer(prompt, length))
            elif self.model.task == "sequence-classification":
                yield self._classify(prompt)
            else:
                new = sample_tokens(
                    self.model.token_logits,
                    self._encoded(prompt or "\n"),
                    context_length=self.context_length,
                    length=length,
                    vocab_size=self.tokenizer.vocab_size,
                    end=self.document_end,
                    temperature=temperature,
                    top_k=top_k,
                    seed=seed,
                    device=self.device,
                )
                yield from self._whole_characters(new)

    def check(self, prompt: str) -> None:
        """Check that a prompt can be answered.

        Raises
        ------
        ModelError
            If it can't; the hint says what can.
        """
        task, has_masks = self.model.task, self.sentinels > 0 or self.model.task == "masked-lm"
        text = prompt.replace(MASK_TEXT, "") if has_masks else prompt
        if has_masks and MASK_TEXT not in prompt:
            raise ModelError(
                f"The model fills in masked tokens, and this prompt has none: {prompt[:60]!r}.",
                hint=f"Write {MASK_TEXT} where a token is missing.",
            )
        tokens = len(self._encoded(text or "\n"))
        if has_masks:
            tokens += prompt.count(MASK_TEXT)
        if 0 < self.sentinels < prompt.count(MASK_TEXT):
            raise ModelError(
                f"The prompt has {prompt.count(MASK_TEXT)} times {MASK_TEXT}, but the model was trained on at most "
                f"{self.sentinels}.",
                hint="Use fewer.",
            )
        if task in ("masked-lm", "seq2seq") and tokens > self.context_length:
            raise ModelError(
                f"The prompt has {tokens:,} tokens, but the model was trained on at most {self.context_length:,}.",
                hint="Shorten it.",
            )

    def _encoded(self, text: str) -> list[int]:
        tokens = [int(token) for token in self.tokenizer.encode(text)]
        if not tokens:
            raise ModelError(
                "The tokenizer can't read this prompt.", hint="Write a word or two in the text's own language."
            )
        return tokens

    def _whole_characters(self, new: Iterator[int]) -> Iterator[str]:
        tokens: list[int] = []
        shown = ""
        for token in new:
            tokens.append(token)
            text = self.tokenizer.decode(tokens)
            # A token may end inside a character; its first half decodes to a replacement character.
            if text.startswith(shown) and not text.endswith("\ufffd"):
                yield text[len(shown) :]
                shown = text

    def _logits_of(self, batch: Batch) -> Tensor:
        return self.model.logits({role: tensor.to(self.device) for role, tensor in batch.items()})[0].float()

    def _fill(self, prompt: str) -> Iterator[str]:
        parts = prompt.split(MASK_TEXT)
        tokens: list[int] = []
        places = []
        for number, part in enumerate(parts):
            if number:
                places.append(len(tokens))
                tokens.append(self._special.mask)
            tokens += [int(token) for token in self.tokenizer.encode(part)]
        logits = self._logits_of({"tokens": torch.tensor([tokens])})
        yield parts[0]
        for place, part in zip(places, parts[1:], strict=True):
            guess = self.tokenizer.decode([int(logits[place, : self.tokenizer.vocab_size].argmax())])
            # The space before a word stands before the mark; a guess that is nothing but space stands inside.
            space = guess[: len(guess) - len(guess.lstrip())] if guess.strip() else ""
            yield f"{space}«{guess[len(space) :]}»{part}"

    def _restore(self, prompt: str, length: int) -> str:
        """Return the prompt with what the model writes for each ``[MASK]``."""
        parts = prompt.split(MASK_TEXT)
        sentinels = [self._special.sentinel(number) for number in range(len(parts) - 1)]
        tokens = [int(token) for token in self.tokenizer.encode(parts[0])]
        for sentinel, part in zip(sentinels, parts[1:], strict=True):
            tokens += [sentinel, *(int(token) for token in self.tokenizer.encode(part))]
        found: dict[int, list[int]] = {sentinel: [] for sentinel in sentinels}
        sentinel = sentinels[0]
        for token in self._written(tokens, length, sentinels):
            if token in found:
                sentinel = token
            else:
                found[sentinel].append(token)
        fillings = [f"«{self.tokenizer.decode(found[sentinel])}»" for sentinel in sentinels]
        return parts[0] + "".join(f"{new}{old}" for new, old in zip(fillings, parts[1:], strict=True))

    def _answer(self, prompt: str, length: int) -> Iterator[int]:
        yield from self._written(self._encoded(prompt or "\n"), length, [])

    def _written(self, source: list[int], length: int, sentinels: list[int]) -> Iterator[int]:
        """Yield what the decoder writes: pieces of the tokenizer and ``sentinels``, until it writes the end token."""
        tokens, mask = pad([[*source, self._special.end]], self._special.pad)
        written = [self._special.start]
        choices = torch.tensor([*range(self.tokenizer.vocab_size), self._special.end, *sentinels], device=self.device)
        for _ in range(min(length, self.context_length - 1)):
            logits = self._logits_of({"tokens": tokens, "mask": mask, "decoder_tokens": torch.tensor([written])})
            token = int(choices[logits[-1, choices].argmax()])
            if token == self._special.end:
                return
            written.append(token)
            yield token

    def _classify(self, prompt: str) -> str:
        tokens, mask = pad([self._encoded(prompt or "\n")[: self.context_length]], self._special.pad)
        return classes_in_words(self._logits_of({"tokens": tokens, "mask": mask}), self.classes)

    @property
    def _special(self) -> SpecialTokens:
        return SpecialTokens(self.tokenizer.vocab_size, self.tokenizer.special)


def open_writer(run: RunDirectory, checkpoint: Path, *, module: nn.Module | None = None) -> Writer | Looker:
    """Load a checkpoint, as :func:`load_checkpoint` does, and return what answers with it."""
    trained = load_checkpoint(run, checkpoint, module=module)
    return Looker(trained) if trained.tokenizer is None else Writer(trained)

"""How a model is called, and where its logits are in what it returns.

Every model is fed with the same kind of batch, by role; the adapter knows what the model calls each role, in which
convention it wants its mask, and for which task it was built. Importing this file imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tb_widgets.errors import ModelError
from tb_widgets.spec import TASKS, Task
from tb_widgets.spec.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Conclusion:
    """One thing that was concluded about a model.

    Attributes
    ----------
    what
        Short name: ``task``, ``input``, ``mask``, ``causal mask``, ``output``, ``vocabulary``, ``context``,
        ``classes``, ``image``, ``leak``, ``batch``, ``padding``, ``config``.
    value
        What was concluded, as a person reads it.
    why
        The evidence, one sentence.
    override
        The field of the spec that decides otherwise, for example ``model.task``; empty where nothing can.
    """

    what: str
    value: str
    why: str
    override: str = ""


@dataclass(frozen=True)
class Extra:
    """An argument that a forward asks for and that follows from the batch.

    Attributes
    ----------
    recipe
        ``value`` (the ``value``, whatever the batch), ``segments`` (all tokens belong to the first text),
        ``positions`` (0, 1, 2, ...), ``lengths`` (real tokens of each row), ``padding`` (which
        tokens are real), ``causal`` and ``decoder-causal`` (which tokens a token may see).
    convention, axes
        For masks: see :func:`mask_as`; for ``positions``: 1 for ``(T,)``, 2 for ``(B, T)``.
    """

    recipe: str
    convention: str = "keep"
    axes: int = 2
    value: Any = None


NOTHING = Extra("value")
"""An argument that is given ``None``."""


@dataclass(frozen=True)
class Adapter:
    """How to call a model.

    Attributes
    ----------
    task
        What it was built for.
    arguments
        Role to the name of the argument of ``forward``; an empty name is passed by position. The role ``labels`` is
        here only for models that give all their logits only when they are told the targets.
    mask, mask_axes
        The convention of the mask argument, see :func:`mask_as`.
    vocab_size
        Token ids that it can read and, for language models, score; ``None`` for images, or where nothing tells.
    decoder_vocab_size
        Token ids that the decoder can read and score, for sequence-to-sequence.
    context_limit
        Longest input in tokens; ``None`` where there is no such limit.
    classes
        Number of classes, for classification.
    image
        ``(C, H, W)`` that it takes, for images.
    extras
        Arguments that are worked out from the batch, by name.
    sequence_first
        Tokens go in, and logits come out, as ``(T, B)`` instead of ``(B, T)``.
    output
        Where the logits are in what ``forward`` returns: an index, key or attribute; ``None`` for the first tensor.
    layout
        ``btv``: as the task says; ``tbv``: time first; ``flat``: all rows in one.
    shortest
        Tokens that a text must have for a classifier: a shorter one is filled up with its last token, which a mask
        hides where the model takes one.
    late
        The logits of a decoder's token stand one place behind it, and those of the first place mean nothing.
    head
        A part of the model that makes logits of what ``forward`` returns, where ``forward`` leaves that out.
    probabilities
        The output has gone through a softmax already; its logarithm is taken.
    leaks
        A language model whose earlier logits depend on later tokens.
    padding_id
        The token id that the model takes for padding by itself; ``None`` where none was found.
    hides_padding_id
        Whether it hides the places of that id, rather than only never learning its row.
    conclusions
        What was concluded, and why.
    """

    task: Task
    arguments: dict[str, str]
    mask: str = "keep"
    mask_axes: int = 2
    vocab_size: int | None = None
    decoder_vocab_size: int | None = None
    context_limit: int | None = None
    classes: int | None = None
    image: tuple[int, int, int] | None = None
    extras: dict[str, Extra] = field(default_factory=dict)
    sequence_first: bool = False
    output: str | int | None = None
    layout: str = "btv"
    shortest: int = 1
    late: bool = False
    head: str = ""
    probabilities: bool = False
    leaks: bool = False
    padding_id: int | None = None
    hides_padding_id: bool = False
    conclusions: tuple[Conclusion, ...] = ()

    def logits(self, module: nn.Module, batch: Batch) -> Tensor:
        """Call a model on a batch.

        Returns
        -------
        Tensor
            Logits: ``(B, T, V)`` for language models, ``(B, S, V)`` for sequence-to-sequence,
            ``(B, classes)`` for classification.

        Raises
        ------
        ModelError
            If the model's output holds no tensor.
        """
        found = self.pick(self.call(module, batch))
        if self.head:
            found = module.get_submodule(self.head)(found)
        found = self._arranged(found, batch)
        return found.float().clamp_min(1e-12).log() if self.probabilities else found

    def call(self, module: nn.Module, batch: Batch) -> Any:
        """Call a model on a batch, and return what its ``forward`` returns."""
        import torch

        batch = self._filled_up(batch)
        by_position, by_name = [], {}
        for role, name in self.arguments.items():
            value = batch.get(role)
            if value is None and role == "labels":
                value = batch.get("decoder_tokens", batch["tokens"])  # any targets will do: they unlock the logits
            if value is None:
                continue
            if role == "mask":
                value = mask_as(self.mask, value, self.mask_axes)
            elif role == "decoder_tokens" and self.late:
                value = torch.cat((value, value[:, -1:]), dim=1)  # so that the last one has its logits, too
            elif role == "labels":
                value = value.clamp(min=0)  # its own loss is not used, and may not know -100
            if self.sequence_first and role in ("tokens", "decoder_tokens", "labels"):
                value = value.t()
            if name:
                by_name[name] = value
            else:
                by_position.append(value)
        for name, extra in self.extras.items():
            if name not in by_name:
                by_name[name] = _made(extra, batch)
        return module(*by_position, **by_name)

    def _filled_up(self, batch: Batch) -> Batch:
        tokens = batch.get("tokens")
        missing = 0 if tokens is None else self.shortest - tokens.shape[1]
        if tokens is None or missing <= 0:
            return batch
        import torch

        real = batch.get("mask", torch.ones_like(tokens, dtype=torch.bool))
        filler = tokens[:, -1:].expand(-1, missing)
        mask = torch.cat((real, torch.zeros_like(filler, dtype=torch.bool)), dim=1)
        return {**batch, "tokens": torch.cat((tokens, filler), dim=1), "mask": mask}

    def pick(self, output: Any) -> Tensor:
        """Return the tensor that holds the logits in what ``forward`` returned."""
        if self.output is None:
            return leaves(output)[0][1]
        chosen: Tensor = output[self.output] if hasattr(output, "__getitem__") else getattr(output, str(self.output))
        return chosen

    def _arranged(self, found: Tensor, batch: Batch) -> Tensor:
        if TASKS[self.task].tells_classes:
            return found.flatten(1) if found.dim() == 3 else found
        if self.layout == "flat":
            rows, length = batch.get("decoder_tokens", batch["tokens"]).shape
            length += self.late
            found = found.view(*((length, rows) if self.sequence_first else (rows, length)), -1)
        if self.sequence_first or self.layout == "tbv":
            found = found.transpose(0, 1)
        return found[:, 1:] if self.late else found


def mask_as(convention: str, real: Tensor, axes: int = 2) -> Tensor:
    """Write a mask in a model's convention.

    Parameters
    ----------
    convention
        ``keep`` (True = real token), ``numbers`` (1 = real, 0 = padding), ``drop`` (True = padding, as
        ``nn.Transformer`` wants it), ``additive`` (0 = real, minus infinity = padding).
    real
        ``(B, T)``, bool: True at real tokens.
    axes
        2 for ``(B, T)``, 3 for ``(B, 1, T)``, 4 for ``(B, 1, 1, T)``.

    Raises
    ------
    ValueError
        If there is no such convention.
    """
    import torch

    if axes > 2:
        real = real.view(real.shape[0], *[1] * (axes - 2), real.shape[1])
    if convention == "keep":
        return real
    if convention == "numbers":
        return real.long()
    if convention == "drop":
        return ~real
    if convention == "additive":
        return torch.zeros(real.shape, device=real.device).masked_fill(~real, float("-inf"))
    raise ValueError(f"There is no mask convention {convention!r}.")


def _made(extra: Extra, batch: Batch) -> Any:
    """Work out an argument from the batch."""
    import torch

    if extra.recipe == "value":
        return extra.value
    tokens = batch["tokens"]
    rows, length = tokens.shape
    if extra.recipe == "segments":
        return torch.zeros_like(tokens)
    if extra.recipe == "positions":
        positions = torch.arange(length, device=tokens.device)
        return positions if extra.axes == 1 else positions.expand(rows, length)
    if extra.recipe in ("padding", "lengths"):
        real = batch.get("mask", torch.ones_like(tokens, dtype=torch.bool))
        # Packing wants its lengths on the CPU.
        return real.sum(1).cpu() if extra.recipe == "lengths" else mask_as(extra.convention, real, extra.axes)
    length = batch["decoder_tokens" if extra.recipe == "decoder-causal" else "tokens"].shape[1]
    seen = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
    return mask_as(extra.convention, seen).view(*[1] * (extra.axes - 2), length, length)


def leaves(output: Any) -> list[tuple[str | int | None, Tensor]]:
    """Return the tensors in what a forward returned, the likeliest logits first, with the way to each.

    The way is an index, a key or the name of an attribute; ``None`` where a tensor is all that was returned.

    Raises
    ------
    ModelError
        If there is no tensor in it.
    """
    from torch import Tensor

    known = ("logits", "last_hidden_state")
    found: list[tuple[str | int | None, Any]]
    if isinstance(output, Tensor):
        return [(None, output)]
    if isinstance(output, tuple | list):
        found = list(enumerate(output))
    elif isinstance(output, dict):
        found = [(name, output[name]) for name in (*known, *(n for n in output if n not in known)) if name in output]
    else:
        names = (*known, *(n for n in getattr(output, "__dict__", {}) if n not in known))
        found = [(name, getattr(output, name)) for name in names if hasattr(output, name)]
    tensors = [(key, value) for key, value in found if isinstance(value, Tensor)]
    if not tensors:
        raise ModelError(
            f"The model's forward returns {type(output).__name__} without a tensor in it.",
            hint="Return the logits, a tuple that begins with them, or a dict with the key logits.",
        )
    return tensors

"""How a model is called, and where its scores are in what it returns.

Every model is fed with the same kind of batch, by role; the adapter knows what the model calls each role, in which
convention it wants its mask, and for which task it was built. Importing this file imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tb_widgets.errors import ModelError
from tb_widgets.spec import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

Batch = dict[str, "Tensor"]
"""A batch by role.

``tokens``
    Token ids, ``(B, T)``, int64.
``mask``
    ``(B, T)``, bool: True at real tokens, False at padding. Absent where nothing is padded.
``decoder_tokens``
    What a decoder reads, ``(B, S)``, int64: the target shifted right, beginning with the start token.
``images``
    ``(B, C, H, W)``, float32, about -1 to 1.
``labels``
    What each score is compared with, int64; -100 does not count. ``(B, T)`` for language models (the shift is made by
    the batch: label t belongs to score t), ``(B, S)`` for sequence-to-sequence, ``(B,)`` for classification.
"""

NOT_COUNTED = -100

ROLES: dict[Task, tuple[str, ...]] = {
    "causal-lm": ("tokens",),
    "masked-lm": ("tokens",),
    "sequence-classification": ("tokens",),
    "seq2seq": ("tokens", "decoder_tokens"),
    "vision-classification": ("images",),
}
"""The roles that a task can't do without; ``mask`` is used where the batch has one and the model takes one."""


@dataclass(frozen=True)
class Conclusion:
    """One thing that was concluded about a model.

    Attributes
    ----------
    what
        Short name: ``task``, ``input``, ``mask``, ``output``, ``vocabulary``, ``context``, ``classes``, ``image``.
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
class Adapter:
    """How to call a model.

    Attributes
    ----------
    task
        What it was built for.
    arguments
        Role to the name of the argument of ``forward``; an empty name is passed by position. The role ``labels`` is
        here only for models that give all their scores only when they are told the targets.
    mask
        The convention of the mask argument: ``keep`` (True or 1 = real token), ``drop`` (True = padding, as
        ``nn.Transformer`` wants it), ``additive`` (0 = real, minus infinity = padding).
    vocab_size
        Token ids that it can read and, for language models, score; ``None`` for images.
    context_limit
        Longest input in tokens; ``None`` where there is no such limit.
    classes
        Number of classes, for classification.
    image
        ``(C, H, W)`` that it takes, for images.
    conclusions
        What was concluded, and why.
    """

    task: Task
    arguments: dict[str, str]
    mask: str = "keep"
    vocab_size: int | None = None
    context_limit: int | None = None
    classes: int | None = None
    image: tuple[int, int, int] | None = None
    conclusions: tuple[Conclusion, ...] = ()

    def scores(self, module: nn.Module, batch: Batch) -> Tensor:
        """Call a model on a batch.

        Returns
        -------
        Tensor
            Unnormalised scores: ``(B, T, V)`` for language models, ``(B, S, V)`` for sequence-to-sequence,
            ``(B, classes)`` for classification.

        Raises
        ------
        ModelError
            If the model's output holds no tensor.
        """
        by_position, by_name = [], {}
        for role, name in self.arguments.items():
            if role not in batch:
                continue
            value = batch[role]
            if role == "mask":
                value = mask_as(self.mask, value)
            elif role == "labels":
                value = value.clamp(min=0)  # its own loss is not used, and may not know -100
            if name:
                by_name[name] = value
            else:
                by_position.append(value)
        return first_tensor(module(*by_position, **by_name))


def mask_as(convention: str, real: Tensor) -> Tensor:
    """Write a mask in a model's convention; ``real`` is ``(B, T)``, bool, True at real tokens.

    Raises
    ------
    ValueError
        If there is no such convention.
    """
    import torch

    if convention == "keep":
        return real
    if convention == "drop":
        return ~real
    if convention == "additive":
        return torch.zeros(real.shape, device=real.device).masked_fill(~real, float("-inf"))
    raise ValueError(f"There is no mask convention {convention!r}.")


def first_tensor(output: Any) -> Tensor:
    """Return the scores in what a forward pass returned: a tensor, tuple, dict, or object.

    Raises
    ------
    ModelError
        If there is no tensor in it.
    """
    from torch import Tensor

    if isinstance(output, Tensor):
        return output
    candidates: list[Any]
    if isinstance(output, tuple | list):
        candidates = list(output)
    elif isinstance(output, dict):
        candidates = [output.get("logits"), output.get("last_hidden_state"), *output.values()]
    else:
        candidates = [getattr(output, name, None) for name in ("logits", "last_hidden_state")]
    for candidate in candidates:
        if isinstance(candidate, Tensor):
            return candidate
    raise ModelError(
        f"The model's forward returns {type(output).__name__} without a tensor in it.",
        hint="Return the logits, a tuple that begins with them, or a dict with the key logits.",
    )

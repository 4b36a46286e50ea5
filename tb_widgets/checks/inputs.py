"""Made-up inputs that fit a model, whatever its task."""

from __future__ import annotations

import torch
from torch import Tensor

from tb_widgets.engine.objective import prediction_loss
from tb_widgets.models.load import LoadedModel
from tb_widgets.models.undisturbed import device_of
from tb_widgets.spec import TASKS
from tb_widgets.spec.batch import NOT_COUNTED, Batch

USUAL_LENGTH = 64  # tokens
LARGE = 5_000_000  # parameters
MASKED_EVERY = 6  # tokens; about the 15 % of BERT


def usual_length(model: LoadedModel, wanted: int = USUAL_LENGTH) -> int:
    """Return a length in tokens that the model can read: the wanted one, or its limit."""
    return min(wanted, model.context_limit or wanted)


def make_batch(
    model: LoadedModel, *, rows: int, length: int, target_length: int | None = None, seed: int = 0, padded: bool = False
) -> Batch:
    """Return random inputs of every role that the model's task has, with labels, on the model's device.

    Parameters
    ----------
    rows, length
        Size of the batch; the length, in tokens, plays no part for images.
    target_length
        Tokens that a decoder reads; as many as the encoder by default.
    padded
        Give every second row a mask that says that its second half is padding.
    """
    generator = torch.Generator().manual_seed(seed)
    adapter = model.adapter

    def tokens(width: int) -> Tensor:
        return torch.randint(adapter.vocab_size or 1, (rows, width), generator=generator)

    batch: Batch = {}
    if TASKS[adapter.task].reads_images:
        batch["images"] = torch.randn((rows, *(adapter.image or (3, 32, 32))), generator=generator) / 2
    else:
        batch["tokens"] = tokens(length)
    if adapter.task == "causal-lm":
        batch["labels"] = torch.cat((batch["tokens"][:, 1:], tokens(1)), dim=1)
    elif adapter.task == "masked-lm":
        chosen = torch.arange(length) % MASKED_EVERY == 0
        batch["labels"] = torch.where(chosen, tokens(length), NOT_COUNTED)
    elif adapter.task == "seq2seq":
        batch["decoder_tokens"] = tokens(target_length or length)
        batch["labels"] = tokens(target_length or length)
    else:
        batch["labels"] = torch.randint(adapter.classes or 2, (rows,), generator=generator)
    if padded:
        real = torch.ones((rows, length), dtype=torch.bool)
        real[::2, max(1, length // 2) :] = False
        batch["mask"] = real
    where = device_of(model.module)
    return {role: value.to(where) for role, value in batch.items()}


def usual_batch(model: LoadedModel) -> Batch:
    """Return the batch that memory and speed are measured with; smaller for a large model, so that nobody waits."""
    rows = 4 if model.parameters < LARGE else 2
    return make_batch(model, rows=rows, length=usual_length(model))


def tokens_in(batch: Batch) -> int:
    """Return how many tokens a batch holds, or images."""
    return batch["tokens"].numel() if "tokens" in batch else len(batch["images"])


def loss_of(model: LoadedModel, batch: Batch) -> Tensor:
    """Return the mean loss that training would minimise, in nats, a scalar in float32."""
    return prediction_loss(model.logits(batch), batch["labels"])


def choices(model: LoadedModel) -> int:
    """Return how many answers the model chooses from: its vocabulary, or its classes."""
    return (model.adapter.classes if "classification" in model.task else model.vocab_size) or 1

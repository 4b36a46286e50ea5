"""Batches that a model of any task can learn, and whether it does."""

import torch
from torch.nn import functional as F

from tb_widgets.models.load import LoadedModel


def said(model, what):
    return next((c for c in model.adapter.conclusions if c.what == what), None)


def batch_for(model: LoadedModel, rows=4, length=8):
    """A batch whose answer can be learnt: each task's labels follow from what it reads."""
    draw = torch.Generator().manual_seed(1)
    task = model.task
    if task == "vision-classification":
        images = torch.randn(rows, *model.adapter.image, generator=draw)
        return {"images": images, "labels": torch.arange(rows) % model.adapter.classes}
    tokens = torch.randint(0, model.vocab_size, (rows, length), generator=draw)
    batch = {"tokens": tokens}
    if task == "causal-lm":
        return batch | {"labels": torch.randint(0, model.vocab_size, (rows, length), generator=draw)}
    if task == "masked-lm":
        labels = tokens.clone()
        labels[:, ::2] = -100
        hidden = tokens.clone()
        hidden[:, 1::2] = 0
        return {"tokens": hidden, "labels": labels}
    mask = torch.ones(rows, length, dtype=torch.bool)
    mask[0, 5:] = False
    if task == "sequence-classification":
        return batch | {"mask": mask, "labels": torch.arange(rows) % model.adapter.classes}
    target = torch.randint(0, model.adapter.decoder_vocab_size, (rows, 6), generator=draw)
    return batch | {"mask": mask, "decoder_tokens": target[:, :-1], "labels": target[:, 1:]}


def loss_of(model, batch):
    return F.cross_entropy(model.logits(batch).flatten(0, -2), batch["labels"].flatten(), ignore_index=-100)


def learns(model: LoadedModel, steps=12, rate=1e-2) -> bool:
    """Tell whether a few optimiser steps on one batch lower its loss."""
    batch = batch_for(model)
    model.module.train()
    optimizer = torch.optim.Adam(model.module.parameters(), lr=rate)
    first = loss_of(model, batch).item()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
    return loss_of(model, batch).item() < 0.9 * first

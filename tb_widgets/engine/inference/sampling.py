"""Letting a model write."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def sample_tokens(
    logits_of: Callable[[Tensor], Tensor],
    prompt: list[int],
    *,
    context_length: int,
    length: int,
    vocab_size: int,
    end: int | None = None,
    temperature: float = 0.8,
    top_k: int | None = 40,
    seed: int = 0,
    device: torch.device | None = None,
) -> Iterator[int]:
    """Yield ``length`` new tokens, one at a time, or fewer where the model ends its text.

    Uses a random generator of its own, so that sampling during training does not change the training.

    Parameters
    ----------
    logits_of
        (1, T) token ids to (1, T, V); call this inside ``torch.no_grad`` with the model in
        evaluation mode.
    prompt
        At least one token.
    context_length
        Only the last so many tokens are shown to the model.
    vocab_size
        Tokens from here on are never chosen: a model's embedding may be larger than the tokenizer.
    end
        What stands after each document that the model has read, the one token from there on that may be chosen.
    temperature
        0 always takes the likeliest token; 1 follows the model's probabilities.
    top_k
        Choose among the k likeliest tokens; None among all.
    """
    device = device or torch.device("cpu")
    generator = torch.Generator(device).manual_seed(seed)
    tokens = list(prompt)
    choices = torch.arange(vocab_size, device=device)
    if end is not None and end >= vocab_size:
        choices = torch.cat((choices, torch.tensor([end], device=device)))
    for _ in range(length):
        window = torch.tensor([tokens[-context_length:]], device=device)
        logits = logits_of(window)[0, -1, choices].float()
        if temperature <= 0:
            place = int(logits.argmax())
        else:
            logits = logits / temperature
            if top_k is not None and top_k < logits.numel():
                best, places = logits.topk(top_k)
                place = int(places[torch.multinomial(best.softmax(-1), 1, generator=generator)])
            else:
                place = int(torch.multinomial(logits.softmax(-1), 1, generator=generator))
        token = int(choices[place])
        if token == end:
            return
        tokens.append(token)
        yield token

"""Ask a built model a few tokens, and read off how it is called and what it can take."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter, Conclusion, first_tensor
from tb_widgets.models.construct import explain
from tb_widgets.models.source import ModelSource

if TYPE_CHECKING:
    from torch import Tensor, nn

_INPUT_NAMES = ("input_ids", "input_0_tokens", "x", "idx", "tokens", "ids", "inputs")
# Buffers under these names that end in a square are causal masks, and as long as the longest context.
_MASK_NAMES = ("mask", "causal_mask", "attn_mask", "tril", "bias")


def probe(module: nn.Module, source: ModelSource) -> Adapter:
    """Run a forward pass on two short rows of tokens.

    The state of torch's generators and the training mode of the module stay as they were.

    Raises
    ------
    ModelError
        If the pass fails, or does not return ``(B, T, vocabulary)``.
    """
    import torch

    input_name = _input_name(module)
    # Not 0, 1, 2, 3: so that the table that is fed with them can't be mistaken for the one fed with positions.
    where = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    ids = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 0]], device=where)
    fed: list[tuple[nn.Embedding, bool]] = []

    def remember(embedding: nn.Module, inputs: tuple[Any, ...], _: Any) -> None:
        if isinstance(embedding, torch.nn.Embedding) and inputs and isinstance(inputs[0], torch.Tensor):
            fed.append((embedding, torch.equal(inputs[0], ids)))

    hooks = [part.register_forward_hook(remember) for part in module.modules() if isinstance(part, torch.nn.Embedding)]
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            output = module(ids) if input_name is None else module(**{input_name: ids})
    except Exception as error:
        raise ModelError(
            f"The model's forward fails on token ids of shape (2, 4): {explain(error, source)}.",
            hint="It must take token ids (B, T) and return logits (B, T, vocabulary).",
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
        module.train(was_training)
    width = _width(first_tensor(output))
    rows = [embedding.num_embeddings for embedding, by_tokens in fed if by_tokens]
    if rows and width < max(rows):
        raise ModelError(
            f"The model reads {max(rows):,} different tokens but scores only {width:,}: the output layer is missing.",
            hint="End forward with a linear layer from the model's width to the vocabulary.",
        )
    limits = [embedding.num_embeddings for embedding, by_tokens in fed if not by_tokens] + _table_lengths(module)
    vocab_size, context_limit = min([width, *rows]), min(limits) if limits else None
    return Adapter(
        task="causal-lm",
        arguments={"tokens": input_name or ""},
        vocab_size=vocab_size,
        context_limit=context_limit,
        conclusions=(Conclusion("task", "causal-lm", "Every position gets one score for each token."),),
    )


def _input_name(module: nn.Module) -> str | None:
    """Return the argument that takes the token ids, ``None`` for the first one."""
    parameters = list(inspect.signature(module.forward).parameters.values())
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    named = [parameter for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    if not named:
        raise ModelError(
            "The model's forward takes no input.", hint="Declare it: def forward(self, input_ids). Or export it again."
        )
    if named[0].name == "pixel_values":
        raise ModelError("The model reads images (pixel_values); this version trains language models only.")
    chosen = next((p for name in _INPUT_NAMES for p in named if p.name == name), named[0])
    required = [p.name for p in named if p.default is p.empty and p is not chosen]
    if required:
        raise ModelError(
            f"The model's forward asks for more than token ids: {', '.join(required)}.",
            hint="Compute these inside forward, or give them defaults.",
        )
    by_position = chosen is named[0] and chosen.kind is not chosen.KEYWORD_ONLY
    return None if by_position else chosen.name


def _width(logits: Tensor) -> int:
    if logits.dim() != 3 or tuple(logits.shape[:2]) != (2, 4):
        raise ModelError(
            f"The model's forward turns token ids of shape (2, 4) into {tuple(logits.shape)}.",
            hint="A language model returns logits of shape (2, 4, vocabulary): one score per token and position.",
        )
    return int(logits.shape[-1])


def _table_lengths(module: nn.Module) -> list[int]:
    """Return the lengths of position tables and masks that are bare tensors, which no hook sees."""
    lengths = []
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        last = name.rpartition(".")[2].lower()
        shape = [side for side in tensor.shape if side != 1]
        if len(shape) != 2:
            continue
        is_table = last.startswith("pos") or last in ("pe", "wpe")
        is_mask = last in _MASK_NAMES and shape[0] == shape[1]
        if is_table or is_mask:
            lengths.append(shape[0])
    return lengths

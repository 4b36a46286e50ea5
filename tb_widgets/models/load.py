"""Build a model from its frozen files, and find out what it can take.

Importing this file imports no torch: a form resolves and describes models in a kernel that stays light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter, Batch
from tb_widgets.models.construct import construct
from tb_widgets.models.describe import ModelSummary, describe
from tb_widgets.models.probe import probe
from tb_widgets.models.source import ModelSource, read_source, resolve, write_source
from tb_widgets.spec import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "LoadedModel",
    "ModelSource",
    "ModelSummary",
    "build",
    "check_fits",
    "describe",
    "from_module",
    "read_source",
    "resolve",
    "write_source",
]


@dataclass(frozen=True)
class LoadedModel:
    """A model that has been built and has answered once.

    Attributes
    ----------
    module
        The model.
    adapter
        How it is called, and for which task it was built.
    parameters
        Number of weights, tied ones counted once.
    """

    module: nn.Module
    adapter: Adapter
    parameters: int

    @property
    def task(self) -> Task:
        """What the model was built for."""
        return self.adapter.task

    @property
    def vocab_size(self) -> int | None:
        """Number of token ids that it can read; ``None`` for images."""
        return self.adapter.vocab_size

    @property
    def context_limit(self) -> int | None:
        """Longest input in tokens; ``None`` where there is no such limit."""
        return self.adapter.context_limit

    def scores(self, batch: Batch) -> Tensor:
        """Return the unnormalised scores for a batch; see :class:`tb_widgets.models.adapter.Adapter`."""
        return self.adapter.scores(self.module, batch)

    def logits(self, input_ids: Tensor) -> Tensor:
        """Score the next token at every position: token ids ``(B, T)``, int64, to ``(B, T, vocabulary)``."""
        return self.scores({"tokens": input_ids})


def build(source: ModelSource) -> LoadedModel:
    """Execute a model's code, build it, and try it on a few tokens.

    Weights are drawn from torch's global generator: seed it first.

    Raises
    ------
    ModelError
        If the code fails, holds no model or several, the constructor needs arguments, or the forward pass fails or
        returns something else than ``(B, T, vocabulary)``.
    """
    return _loaded(construct(source), source)


def from_module(module: nn.Module) -> LoadedModel:
    """Take a live module, and try it on a few tokens.

    Raises
    ------
    ModelError
        If the forward pass fails or returns something else than ``(B, T, vocabulary)``.
    """
    return _loaded(module, ModelSource(origin={"source": f"live:{type(module).__name__}"}, files={}))


def _loaded(module: nn.Module, source: ModelSource) -> LoadedModel:
    return LoadedModel(
        module=module,
        adapter=probe(module, source),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
    )


def check_fits(model: LoadedModel, *, vocab_size: int, context_length: int) -> None:
    """Check that a model can read a tokenizer's ids and a context of this many tokens.

    Raises
    ------
    ModelError
        If it can't; the message names the two numbers and the field to change.
    """
    if model.vocab_size is not None and model.vocab_size < vocab_size:
        raise ModelError(
            f"The tokenizer has {vocab_size:,} tokens and the model knows {model.vocab_size:,}.",
            hint=f"Set tokenizer.vocab_size to at most {model.vocab_size}, or enlarge the model's vocabulary.",
        )
    if model.context_limit is not None and model.context_limit < context_length:
        raise ModelError(
            f"data.context_length is {context_length:,} tokens and the model's position table ends at "
            f"{model.context_limit:,}.",
            hint=f"Set data.context_length to at most {model.context_limit}, or enlarge the table in the model.",
        )

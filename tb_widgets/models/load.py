"""Build a model from its frozen files, and find out what it can take.

Importing this file imports no torch: a form resolves and describes models in a kernel that stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter, Batch
from tb_widgets.models.repairs.repairs import way_out
from tb_widgets.models.source import ModelSource
from tb_widgets.spec import ModelSpec, Task

if TYPE_CHECKING:
    from torch import Tensor, nn


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


def build(
    source: ModelSource, spec: ModelSpec | None = None, *, on_step: Callable[[str], None] = lambda step: None
) -> LoadedModel:
    """Execute a model's code, build it, and try it on a few tokens or images.

    Weights are drawn from torch's global generator: seed it first.

    Parameters
    ----------
    spec
        What the user decides about the model: its ``entry``, ``task``, ``input``, ``output``, ``mask`` and sizes.
    on_step
        Called with what is done next, in words: importing the file, building the model, calling it.

    Raises
    ------
    ModelError
        If the code fails, holds no model or several, the constructor needs arguments, the forward pass fails, its
        output fits no task, or nothing tells which of two tasks the model was built for. Where that is a known fault
        of exports, the hint names the repair.
    """
    from tb_widgets.models.construct import construct

    try:
        module = construct(source, spec.entry if spec else None, on_step)
        on_step("Calling forward")
        return _loaded(module, source, spec)
    except ModelError as error:
        if repair := way_out(source):
            raise ModelError(error.message, hint=repair) from error
        raise


def from_module(module: nn.Module, spec: ModelSpec | None = None) -> LoadedModel:
    """Take a live module, and try it on a few tokens or images; ``spec`` is as for :func:`build`.

    Raises
    ------
    ModelError
        If the forward pass fails, its output fits no task, or nothing tells which of two tasks it was built for.
    """
    return _loaded(module, ModelSource(origin={"source": f"live:{type(module).__name__}"}, files={}), spec)


def _loaded(module: nn.Module, source: ModelSource, spec: ModelSpec | None) -> LoadedModel:
    from tb_widgets.models.probe.probe import probe

    return LoadedModel(
        module=module,
        adapter=probe(module, source, spec),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
    )


def check_fits(
    model: LoadedModel,
    *,
    vocab_size: int | None = None,
    added: int = 0,
    context_length: int | None = None,
    classes: int | None = None,
    image: tuple[int, int, int] | None = None,
) -> None:
    """Check that a model can take what the data hold.

    Parameters
    ----------
    vocab_size
        Token ids that it must read, special ones that its task needs among them.
    added
        How many of them are special.
    context_length
        Longest text, in tokens.
    classes
        Classes to tell apart.
    image
        ``(C, H, W)`` of the images.

    Raises
    ------
    ModelError
        If it can't; the message names the two numbers and the field to change.
    """
    adapter = model.adapter
    sizes = ((adapter.vocab_size, "the model knows"), (adapter.decoder_vocab_size, "the model's decoder knows"))
    for known, words in sizes:
        if vocab_size is not None and known is not None and known < vocab_size:
            more = f" and {added} more for padding and other signs" if added else ""
            raise ModelError(
                f"The tokenizer has {vocab_size - added:,} tokens{more}{',' if added else ''} and {words} {known:,}.",
                hint=f"Set tokenizer.vocab_size to at most {known - added} with tokenizer.kind bpe or unigram, "
                "choose a smaller tokenizer.file, or enlarge the model's vocabulary.",
            )
    if context_length is not None and adapter.context_limit is not None and adapter.context_limit < context_length:
        raise ModelError(
            f"data.context_length is {context_length:,} tokens and the model's position table ends at "
            f"{adapter.context_limit:,}.",
            hint=f"Set data.context_length to at most {adapter.context_limit}, or enlarge the table in the model.",
        )
    if classes is not None and adapter.classes is not None and adapter.classes < classes:
        raise ModelError(
            f"The data have {classes:,} classes and the model tells {adapter.classes:,} apart.",
            hint="Choose other data in data.source, or give the model's last layer as many outputs.",
        )
    if image is not None and adapter.image is not None and adapter.image != image:
        raise ModelError(
            f"The images are {_times(image)} and the model takes {_times(adapter.image)} (channels, height, width).",
            hint="Choose other data in data.source, or change the sizes in the model.",
        )


def _times(sides: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in sides)

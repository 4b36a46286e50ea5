"""Build a model from its frozen files, and find out what it can take.

Importing this file imports no torch: a form resolves and describes models in a kernel that stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter
from tb_widgets.models.repairs.repairs import way_out
from tb_widgets.models.source import ModelSource
from tb_widgets.spec import ModelSpec, Task
from tb_widgets.spec.batch import Batch
from tb_widgets.spec.fit import Limits

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

    @property
    def limits(self) -> Limits:
        """What it can take, its decoder included."""
        adapter = self.adapter
        vocabularies = [size for size in (adapter.vocab_size, adapter.decoder_vocab_size) if size is not None]
        return Limits(min(vocabularies, default=None), adapter.context_limit, adapter.classes, adapter.image)

    @property
    def outputs(self) -> frozenset[int]:
        """How many tokens or classes its head tells apart, as far as that is known."""
        adapter = self.adapter
        return frozenset(filter(None, (adapter.vocab_size, adapter.decoder_vocab_size, adapter.classes)))

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits for a batch; see :class:`tb_widgets.models.adapter.Adapter`."""
        return self.adapter.logits(self.module, batch)

    def token_logits(self, input_ids: Tensor) -> Tensor:
        """Return the logits of the next token at every position: token ids ``(B, T)``, int64, to ``(B, T, V)``."""
        return self.logits({"tokens": input_ids})


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
    context_length: int | None = None,
    classes: int | None = None,
    image: tuple[int, int, int] | None = None,
) -> None:
    """Check that a model can take what the data hold; see :meth:`tb_widgets.spec.fit.Limits.refusals`.

    Raises
    ------
    DataError
        If it can't; the message names the two numbers and the field to change.
    """
    for refusal in model.limits.refusals(
        vocab_size=vocab_size, context_length=context_length, classes=classes, image=image
    ):
        raise refusal

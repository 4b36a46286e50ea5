"""Try a built model on a few tokens or a few images, and conclude how it is called and what it was built for.

The evidence, in this order: what the user says, what config.json says, the names of the arguments, the shape of the
output, and how the logits behave: whether earlier ones move when a later token changes, and which mask keeps padding
out of sight. Each kind of evidence has a file of its own here.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from tb_widgets.errors import ModelError
from tb_widgets.models.adapter import Adapter, Conclusion
from tb_widgets.models.probe.arguments import first_pass, orient
from tb_widgets.models.probe.case import Case
from tb_widgets.models.probe.evidence import claimed_task
from tb_widgets.models.probe.images import looks_like_images, probe_images
from tb_widgets.models.probe.limits import measure
from tb_widgets.models.probe.outputs import find_logits
from tb_widgets.models.probe.padding import find_mask
from tb_widgets.models.probe.padding_id import find_padding_id
from tb_widgets.models.probe.signature import LABELS, read_signature
from tb_widgets.models.probe.task import conclude_task
from tb_widgets.models.source import ModelSource
from tb_widgets.models.undisturbed import filled_zeros, undisturbed
from tb_widgets.spec import ModelSpec

WITHOUT_CONFIG = Conclusion("config", "none", "No config.json beside the code: all sizes come from the code.")


def probe(module: nn.Module, source: ModelSource, spec: ModelSpec | None = None) -> Adapter:
    """Conclude how a model is called, from its signature, its source and a few tiny forward passes.

    The state of torch's generators, the training mode of each part and the weights stay as they were.

    Parameters
    ----------
    module
        The model.
    source
        The files that it came from, for what they say; empty for a live module.
    spec
        What the user decides: ``task``, ``input``, ``output``, ``mask`` and the sizes.

    Raises
    ------
    ModelError
        If the pass fails, its output fits no task, the evidence does not decide between two tasks, or
        the model contradicts what the user decides.
    """
    adapter = _probe(module, source, spec or ModelSpec())
    if source.origin.get("without_config"):
        adapter = replace(adapter, conclusions=(*adapter.conclusions, WITHOUT_CONFIG))
    return adapter


def _probe(module: nn.Module, source: ModelSource, spec: ModelSpec) -> Adapter:
    reading = read_signature(module, spec.input, spec.arguments)
    claim = claimed_task(spec.task, source)
    with undisturbed(module), filled_zeros(module), torch.no_grad():
        images = looks_like_images(module, reading, claim)
        _refuse_beside_the_point(spec, reads_images=images)
        if images:
            return probe_images(module, reading, source, spec, claim)
        try:
            return _probe_texts(Case(module, source, spec, reading, claim))
        except ModelError:
            if reading.decoder not in LABELS:
                raise
        # An argument called y may be the targets, where it did not run as what a decoder reads.
        reading = replace(reading, decoder=None, labels=reading.decoder)
        return _probe_texts(Case(module, source, spec, reading, claim))


def _refuse_beside_the_point(spec: ModelSpec, *, reads_images: bool) -> None:
    """Refuse sizes of images for a model that reads tokens, and the other way round."""
    of_tokens, of_images = ("vocab_size", "context_limit"), ("image_size", "image_channels")
    names, reads = (of_tokens, "images") if reads_images else (of_images, "tokens")
    for name in names:
        if getattr(spec, name) is not None:
            raise ModelError(
                f"model.{name} is {getattr(spec, name)}, but the model reads {reads}.",
                hint="Leave it empty, or set model.task to what the model was built for.",
            )


def _probe_texts(case: Case) -> Adapter:
    adapter, found = first_pass(case)
    adapter, found = find_logits(case, adapter, found)
    adapter, found = orient(case, adapter, found)
    adapter = measure(case, adapter, found)
    adapter = conclude_task(case, adapter)
    adapter = find_padding_id(case, adapter)
    adapter = find_mask(case, adapter)
    return replace(adapter, conclusions=tuple(case.conclusions))

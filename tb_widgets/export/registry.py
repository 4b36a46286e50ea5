"""What an exporter is, and those that there are.

An exporter is one file, which registers itself: ``EXPORTERS.add("my-format", Exporter(...))``. It lies in this folder,
or in another package that names it by an entry point of the group ``tb_widgets.exporters``. What its format needs is
imported inside its functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tb_widgets.spec.registry import Registry

if TYPE_CHECKING:
    from tb_widgets.engine.inference.load_checkpoint import TrainedModel


@dataclass(frozen=True)
class Exporter:
    """A format that models are written in.

    Attributes
    ----------
    title
        One line for people.
    extra
        The extra of tb_widgets that it needs, as in ``pip install tb-widgets[onnx]``; empty if none.
    export
        Writes a model into a folder that is there and empty.
    prove
        Loads what was written as a user of the format would, runs it and the model on the same inputs, and returns the
        largest difference of the logits; raises an ``ExportError`` where it can't be loaded.
    tolerance
        Largest difference that rounding explains.
    """

    title: str
    export: Callable[[TrainedModel, Path], None]
    prove: Callable[[TrainedModel, Path], float]
    extra: str = ""
    tolerance: float = 0.0


EXPORTERS: Registry[Exporter] = Registry("exporters", home=__package__)

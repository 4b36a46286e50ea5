"""The process that exports: it answers a request with the difference that it has found."""

from __future__ import annotations

import sys
from pathlib import Path

from tb_widgets.errors import ExportError
from tb_widgets.runs import RunDirectory
from tb_widgets.runs.json_process import Asker


def main() -> int:
    """Export a checkpoint, and prove it."""
    asker = Asker()
    return asker.serve(lambda request: asker.tell(difference=_export(**request)), failing="while it was exported")


def _export(*, run: str, checkpoint: str, to: str, folder: str) -> float:
    from tb_widgets.engine.inference.load_checkpoint import load_checkpoint
    from tb_widgets.export.registry import EXPORTERS

    exporter, trained = EXPORTERS[to], load_checkpoint(RunDirectory(run), Path(checkpoint))
    exporter.export(trained, Path(folder))
    difference = exporter.prove(trained, Path(folder))
    if not difference <= exporter.tolerance:
        raise ExportError(
            f"What was written as {to} is another model: its logits differ by {difference:.2g}.",
            hint="Nothing was kept. Export in another format.",
        )
    return difference


if __name__ == "__main__":
    sys.exit(main())

"""Taking a trained model along: ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tb_widgets.cli.options import CheckpointName, Json, RunsDir, TrustRun, service
from tb_widgets.cli.screen import console, print_json, say
from tb_widgets.export.registry import EXPORTERS
from tb_widgets.service.exporting import export_checkpoint
from tb_widgets.service.run import Run


def export(
    name: Annotated[str | None, typer.Argument(metavar="RUN", help="A run's id or its end, folder, or latest.")] = None,
    *,
    to: Annotated[str, typer.Option("--to", show_default=False, help="Format (default safetensors).")] = "safetensors",
    out: Annotated[Path | None, typer.Option("--out", help="A new folder (default: in the run).")] = None,
    checkpoint: CheckpointName = "best",
    formats: Annotated[bool, typer.Option("--list", help="List the formats.")] = False,
    trust: TrustRun = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Export a checkpoint and verify that it is the same model."""
    if formats:
        known = {key: EXPORTERS[key] for key in EXPORTERS}
        if json:
            print_json([{"name": key, "title": known[key].title, "extra": known[key].extra} for key in known])
            return
        for key, exporter in known.items():
            needs = f" (needs tb-widgets[{exporter.extra}])" if exporter.extra else ""
            say(console(), f"{key}  {exporter.title}{needs}")
        return
    if name is None:
        raise typer.BadParameter("name a run; tb-widgets runs lists them.", param_hint="RUN")
    run = Run(service(runs_dir).attach(name).path)
    chosen = run.checkpoint(checkpoint)
    folder = out or run.path / "exports" / f"{to}-{chosen.step}"
    done = export_checkpoint(run.directory, chosen.path, to, folder, trust=trust)
    if json:
        facts = {"run_id": run.id, "checkpoint": chosen.step, "to": to, "path": str(done.folder)}
        print_json(facts | {"files": done.files, "difference": done.difference})
        return
    say(console(), f"Exported step {chosen.step:,} of {run.id} to {done.folder}:")
    for file in done.files:
        say(console(), f"  {file}")
    same = "identical" if done.difference == 0 else f"equal to within {done.difference:.2g}"
    say(console(), f"Loaded again, its logits are {same}.")

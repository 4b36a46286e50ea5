"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tb_widgets.service.service import TrainingService

SpecFiles = Annotated[list[Path] | None, typer.Argument(metavar="[SPEC.yaml ...]", help="Specs in YAML or JSON.")]
SpecFile = Annotated[Path | None, typer.Argument(metavar="[SPEC.yaml]", help="A spec in YAML or JSON.")]
Model = Annotated[str | None, typer.Option("--model", help="zoo:gpt, a Gist, hub:OWNER/NAME or a path.")]
Data = Annotated[
    str | None,
    typer.Option("--data", help="Built-in name, path, URL or hub:OWNER/NAME."),
]
TrustOption = Annotated[bool, typer.Option("--trust", help="Run the code of this Gist or repository.")]
TrustRun = Annotated[bool, typer.Option("--trust", help="Trust the code in the run's folder.")]

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id or its end, folder, or latest.")]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", envvar="TB_RUNS_DIR", show_envvar=False, help="Runs folder (TB_RUNS_DIR, or ./runs)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print only one line of JSON.")]
PresetOption = Annotated[str | None, typer.Option("--preset", help="quick, small, standard, shakespeare-char.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VAL", help="E.g. training.steps=500; repeatable."),
]
CheckpointName = Annotated[
    str, typer.Option("--checkpoint", show_default=False, help="best (default), last, or a step.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Return at once; train in the background.")]


def service(runs_dir: Path | None) -> TrainingService:
    """Return the service of a runs folder."""
    return TrainingService(runs_dir)

"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tb_widgets.service.service import TrainingService

SpecFiles = Annotated[
    list[Path] | None, typer.Argument(metavar="[SPEC.yaml ...]", help="A spec in YAML or JSON; several stand in line.")
]
SpecFile = Annotated[Path | None, typer.Argument(metavar="[SPEC.yaml]", help="A spec in YAML or JSON.")]
Model = Annotated[str | None, typer.Option("--model", help="zoo:gpt, a Gist's address, hub:OWNER/NAME, or a path.")]
Data = Annotated[
    str | None,
    typer.Option("--data", help="python-docs, the path of a file, folder or glob, https://..., or hub:OWNER/NAME."),
]
TrustOption = Annotated[bool, typer.Option("--trust", help="Agree to run the code of this Gist or repository.")]
TrustRun = Annotated[
    bool, typer.Option("--trust", help="Agree to run the code in the run's folder, if it was not started here.")
]

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, a part of it that fits only one, its folder, or latest.")
]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", envvar="TB_RUNS_DIR", help="The folder that holds the runs; ./runs by default."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON and nothing else.")]
PresetOption = Annotated[str | None, typer.Option("--preset", help="quick, small, standard or shakespeare-char.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Set a field, for example training.steps=500. May be repeated."),
]
Detach = Annotated[bool, typer.Option("--detach", help="Return at once; the run continues in the background.")]


def service(runs_dir: Path | None) -> TrainingService:
    """Return the service of a runs folder."""
    return TrainingService(runs_dir)

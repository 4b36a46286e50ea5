"""Everything in a row: ``pipeline``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tb_widgets.cli.options import Json, RunsDir, TrustOption
from tb_widgets.cli.screen import console, print_json, say
from tb_widgets.display.terminal import doing
from tb_widgets.service.pipeline import Phase, Pipeline
from tb_widgets.wording import duration


def pipeline(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="A spec in YAML or JSON.")],
    *,
    folder: Annotated[Path | None, typer.Option("--folder", help="Results folder (default: SPEC.pipeline).")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="PHASE", help="Last phase to run.")] = None,
    trust: TrustOption = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Load, check, train, evaluate and report.

    Run it again to continue: it skips finished phases.
    """
    made = Pipeline(spec, folder=folder, runs_dir=runs_dir, trust=trust)
    screen = console(stderr=json)

    def tell(name: str, phase: Phase, seconds: float | None) -> None:
        if seconds is None:
            if not screen.is_terminal:
                say(screen, f"{phase.title} ...")
        else:
            say(screen, f"✓ {name}: " + (duration(seconds) if seconds else "already done"))

    with doing(screen, "Load, check, train, evaluate, report"):
        results = made.run(until=until, on_phase=tell)
    if json:
        print_json({"folder": str(made.folder), "results": results})
    elif "report" in results:
        say(screen, f"{made.folder / results['report']['report']}")

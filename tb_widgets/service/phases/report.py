"""Write down what became of it, for people: one Markdown file."""

from __future__ import annotations

from typing import Any

from tb_widgets.service.pipeline import PHASES, Phase, Pipeline
from tb_widgets.service.run import Run
from tb_widgets.spec import RunSpec
from tb_widgets.spec.metrics import METRICS
from tb_widgets.wording import duration

SIGNS = {"pass": "✓", "warn": "▲", "fail": "✕", "unknown": "?"}


def report(pipeline: Pipeline) -> dict[str, Any]:
    """Write ``report.md`` into the pipeline's folder."""
    results = pipeline.results
    run = Run(results["train"]["run"])
    status, task = run.status, run.status.task
    facts = [
        ("Model", status.model),
        ("Task", task),
        ("Parameters", f"{status.parameters:,}" if status.parameters else "unknown"),
        ("Data", status.data),
        ("Steps", f"{status.step:,} in {duration(status.elapsed)} on {status.device}"),
        ("Best checkpoint", f"step {results['train']['best_step']:,}"),
    ]
    measured = [(METRICS[key].heading(task), METRICS[key].written(value)) for key, value in results["evaluate"].items()]
    checked = [f"- {SIGNS[found['verdict']]} {found['message']}" for found in results["check"].values()]
    differing = RunSpec().differences(run.spec)
    settings = [(f"`{path}`", f"`{value}`") for path, (_, value) in differing.items()]
    samples = [f"```text\n{sample['prompt']}{sample['text']}\n```" for sample in run.samples[-1:]]
    parts = [
        f"# {status.name or run.id}",
        _table(("", ""), facts),
        "## On all validation data",
        _table(("Metric", "Value"), measured),
        "## Checks",
        "\n".join(checked),
        "## Settings changed from the defaults",
        _table(("Field", "Value"), settings),
        *(["## Last sample", *samples] if samples else []),
        "## How to use it",
        f'```python\nimport tb_widgets\n\nrun = tb_widgets.Run("{run.path.as_posix()}")\n'
        'print(run.best.generate("..."))\n```',
    ]
    file = pipeline.folder / "report.md"
    file.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return {"report": file.name}


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {header[0]} | {header[1]} |", "|---|---|"]
    return "\n".join([*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


PHASES.add("report", Phase(report, 90, "Writing the report"))

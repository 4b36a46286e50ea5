"""Runs side by side: what became of each, and in which settings and environments they differ."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tb_widgets.errors import RunError
from tb_widgets.runs.environment import decides, fact_title, fact_value, flat
from tb_widgets.service.run import Run, list_runs
from tb_widgets.spec.metrics import METRICS

if TYPE_CHECKING:
    from pandas import DataFrame

_ALL_DIFFER = ("name",)  # settings that tell runs apart and say nothing about them


def compare(*runs: Run | str | Path, runs_dir: str | Path | None = None) -> DataFrame:
    """Return a table of runs: state, sizes, the best of each validation metric, and the settings that differ.

    Of what they ran on it holds what differs and may decide what is computed (``torch``, ``device``, ``tb_widgets
    commit`` ...); :meth:`Run.environment_differences` has the rest.

    Parameters
    ----------
    *runs
        Runs, their folders, or their ids inside ``runs_dir``; all runs of the folder where none is named.
    runs_dir
        ``TB_RUNS_DIR`` or ``./runs`` by default.

    Returns
    -------
    DataFrame
        A row for each run, by its id. Settings have their dotted names; a metric that a run does not have is NaN.

    Raises
    ------
    RunError
        If a run is not there, or the folder has none.

    Examples
    --------
    >>> compare("k3f9", "b27x").sort_values("val/loss")  # doctest: +SKIP
    """
    from pandas import DataFrame

    chosen = [run if isinstance(run, Run) else Run(run, runs_dir) for run in runs] or list_runs(runs_dir)
    if not chosen:
        raise RunError("There are no runs to compare.", hint="Train one first: tb_widgets.train(preset='quick').")
    specs = [run.spec.flat() for run in chosen]
    paths = dict.fromkeys(path for spec in specs for path in spec if path not in _ALL_DIFFER)
    differing = [path for path in paths if any(spec.get(path) != specs[0].get(path) for spec in specs)]
    environments = [_deciding(run) for run in chosen]
    begun = [environment for environment in environments if environment]
    elsewhere = [path for path in dict.fromkeys(chain(*begun)) if len({each.get(path) for each in begun}) > 1]
    rows = [
        _facts(run)
        | {path: _plain(spec.get(path)) for path in differing}
        | {fact_title(path): environment.get(path) for path in elsewhere}
        for run, spec, environment in zip(chosen, specs, environments, strict=True)
    ]
    return DataFrame(rows, index=[run.id for run in chosen]).dropna(axis="columns", how="all")


def _facts(run: Run) -> dict[str, Any]:
    status = run.status
    facts: dict[str, Any] = {
        "state": status.state,
        "model": status.model,
        "data": status.data,
        "parameters": status.parameters,
        "steps": status.step,
        "seconds": status.elapsed,
    }
    for metric in METRICS.values():
        values = [line[metric.key] for line in run.metrics if isinstance(line.get(metric.key), int | float)]
        choose = min if metric.better == "min" else max
        facts[metric.key] = choose(values) if values else None
    return facts


def _deciding(run: Run) -> dict[str, str]:
    """Return what a run ran on, as far as it may decide what is computed; nothing of one that has not begun."""
    try:
        return {path: fact_value(value) for path, value in flat(run.environment).items() if decides(path)}
    except RunError:
        return {}


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else str(value)

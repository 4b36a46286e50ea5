"""Several trainings in one call: one after another or side by side, and a table at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tb_widgets.service.comparing import compare
from tb_widgets.service.preparing import prepared
from tb_widgets.service.run import Run
from tb_widgets.service.service import TrainingService, require_data
from tb_widgets.spec import RunSpec, asked_for

if TYPE_CHECKING:
    from pandas import DataFrame


def train_all(
    specs: Sequence[RunSpec | str | Path],
    *,
    at_once: int = 1,
    runs_dir: str | Path | None = None,
    trust: bool = False,
    on_end: Callable[[Run], None] = lambda run: None,
) -> DataFrame:
    """Train several models, and return a table of the runs; one that fails keeps no other from its turn.

    All of them are tried first: what can't be trained is refused before anything is started. Then they stand in the
    queue of the folder, which goes on when this process is gone, in any other that looks after the folder.

    Parameters
    ----------
    specs
        Specs, or the paths of their YAML files.
    at_once
        How many train side by side on this machine; it stays so for the folder.
    runs_dir
        ``TB_RUNS_DIR`` or ``./runs`` by default.
    trust
        Agree to run the code of Gists or Hub repositories; this is remembered for these very files.
    on_end
        Called with each run as it has ended, in the order of ``specs``.

    Returns
    -------
    DataFrame
        As :func:`tb_widgets.compare` makes it.

    Raises
    ------
    SpecError, ModelError, DataError
        As :func:`tb_widgets.train` does, before anything is started.

    Examples
    --------
    >>> train_all(["small.yaml", "large.yaml"], at_once=2)  # doctest: +SKIP
    """
    ready = []
    for spec in specs:
        asked, chosen = asked_for(spec)
        ready.append(prepared(asked, chosen=chosen, trust=trust))
        require_data(ready[-1])
    service = TrainingService(runs_dir)
    service.at_once = at_once
    runs = [Run(service.start(spec, queue=True).path) for spec in ready]
    for run in runs:
        service.wait(run.directory)
        on_end(run)
    return compare(*runs)

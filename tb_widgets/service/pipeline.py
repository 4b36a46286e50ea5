"""From a spec to a report in one call: phases in a row, each of which is done once and found done the next time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb_widgets.errors import WRONG_INPUT, SpecError, TbError
from tb_widgets.runs.durable import read_json, replace_json
from tb_widgets.spec import RunSpec, asked_for
from tb_widgets.spec.registry import Registry

STATE = "pipeline.json"


@dataclass(frozen=True)
class Phase:
    """A step of every pipeline.

    Attributes
    ----------
    run
        Does it, and returns what it found as plain values, which are kept. It is called again where it did not come to
        its end, and finds what it had kept so far in ``pipeline.kept``.
    order
        Where it stands; ours are 10 (load), 20 (check), 30 (train), 40 (evaluate) and 90 (report).
    title
        What is shown while it is at work.
    """

    run: Callable[[Pipeline], dict[str, Any]]
    order: int
    title: str


PHASES: Registry[Phase] = Registry("phases", home="tb_widgets.service.phases")


class Pipeline:
    """Load, check, train, evaluate, report: what one does for each model, as one object that can be gone on with.

    What a phase has found lies in ``pipeline.json`` of the folder. A phase that is done is not done again; one that was
    cut off goes on, a training from its newest checkpoint.

    Parameters
    ----------
    spec
        A spec, or the path of its YAML file; as for :func:`tb_widgets.train`.
    folder
        Where results and report are kept; by default beside the file, ``my.pipeline`` for ``my.yaml``.
    runs_dir
        ``TB_RUNS_DIR`` or ``./runs`` by default.
    trust
        Agree to run the code of a Gist or Hub repository; this is remembered for these very files.

    Raises
    ------
    SpecError
        If the spec is wrong, or is another one than the folder was begun with.

    Examples
    --------
    >>> Pipeline("my.yaml").run()["evaluate"]  # doctest: +SKIP
    {'val/loss': 3.2, ...}
    """

    def __init__(
        self,
        spec: RunSpec | str | Path,
        *,
        folder: str | Path | None = None,
        runs_dir: str | Path | None = None,
        trust: bool = False,
    ) -> None:
        self.asked, self.chosen = asked_for(spec)
        if folder is None:
            if isinstance(spec, RunSpec):
                raise SpecError([("folder", "a spec without a file needs a folder for the results.")])
            folder = Path(spec).with_suffix(".pipeline")
        self.folder, self.runs_dir, self.trust = Path(folder).expanduser(), runs_dir, trust
        text = self.asked.to_yaml()
        self._state: dict[str, Any] = {"spec": hashlib.sha256(text.encode()).hexdigest(), "phases": {}}
        if (self.folder / STATE).exists():
            found = read_json(self.folder / STATE)
            if found["spec"] != self._state["spec"]:
                raise SpecError(
                    [("spec", f"{self.folder} was started with another spec.")],
                    hint="Use another folder, or delete this one.",
                )
            self._state = found
        self._now = ""

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """What the phases have found that are done, by their names."""
        return {name: entry["result"] for name, entry in self._state["phases"].items() if "result" in entry}

    @property
    def kept(self) -> dict[str, Any]:
        """What the phase at work has kept so far, also when it was cut off."""
        return dict(self._state["phases"].get(self._now, {}).get("kept", {}))

    def keep(self, **facts: Any) -> None:
        """Keep something of the phase at work before it is done."""
        entry = self._state["phases"].setdefault(self._now, {})
        entry["kept"] = self.kept | facts
        self._write()

    def run(
        self, *, until: str | None = None, on_phase: Callable[[str, Phase, float | None], None] = lambda *_: None
    ) -> dict[str, dict[str, Any]]:
        """Do what is not done yet, and return what each phase has found.

        Parameters
        ----------
        until
            The last phase to be done; all of them by default.
        on_phase
            Called with a phase's name, the phase, and ``None`` as it begins; then with the seconds that it took, 0 for
            one that had been done before.

        Raises
        ------
        SpecError
            If there is no such phase.
        TbError
            What a phase raises. What was done before stays done.
        """
        phases = {name: PHASES[name] for name in sorted(PHASES, key=lambda name: PHASES[name].order)}
        if until is not None and until not in phases:
            raise SpecError([("until", f"there is no phase {until!r}. Choose from: {', '.join(phases)}.")])
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TbError(
                f"The folder {self.folder} can't be created: {error.strerror or error}.", exit_code=WRONG_INPUT
            ) from error
        for name, phase in phases.items():
            if name in self.results:
                on_phase(name, phase, 0.0)
            else:
                on_phase(name, phase, None)
                self._now, began = name, time.perf_counter()
                result = phase.run(self)
                seconds = time.perf_counter() - began
                self._state["phases"][name] = {"result": result, "seconds": round(seconds, 1)}
                self._write()
                on_phase(name, phase, seconds)
            if name == until:
                break
        return self.results

    def _write(self) -> None:
        replace_json(self.folder / STATE, self._state)

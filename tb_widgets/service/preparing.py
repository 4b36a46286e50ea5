"""Before a run is started from Python or a terminal: try its model, fit text and sizes to it, and fetch its data.

What can't be trained is refused here, and leaves no run that never began. The dashboard does the same step by step.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from tb_widgets.display.terminal import doing
from tb_widgets.models.load import from_module
from tb_widgets.models.repairs.leak_refusal import leak_refusal
from tb_widgets.models.source import ModelSource
from tb_widgets.models.sources.resolve import is_fetched
from tb_widgets.models.trust.consent import agreed, needs_consent
from tb_widgets.models.zoo import sizes
from tb_widgets.service.checking import source_of
from tb_widgets.service.fitting import ModelFacts, fit_or_refuse
from tb_widgets.service.gathering import gather, gather_model, gather_shown
from tb_widgets.service.probing import ProbeService
from tb_widgets.spec import RunSpec, Task

if TYPE_CHECKING:
    from rich.console import Console
    from torch import nn


def prepared(
    spec: RunSpec,
    *,
    chosen: Collection[str],
    module: nn.Module | None = None,
    trust: bool = False,
    screen: Console | None = None,
) -> RunSpec:
    """Try a spec's model, fit the fields that nobody chose to it, fetch the data, and return what can be started.

    It names full revisions, and sizes that fit the model.

    Parameters
    ----------
    chosen
        The fields that somebody chose; they stay as they are.
    module
        The model, where it is a live one of this process.
    trust
        Agree to run the model's code, if it comes from a Gist or the Hub; this is remembered for these very files.
    screen
        Where to show what is being done, what was agreed to, what was chosen for this model and why, and what its
        code did besides.

    Raises
    ------
    ModelError
        If the model can't be had, built or run, its task can't be told, or it sees the tokens that it should predict;
        or if it needs consent and has none.
    SpecError
        If a field that was chosen does not fit the model.
    DataError
        If the data can't be had.
    """
    spec, source, facts, notes = tried(spec, module, trust=trust, screen=screen)
    if facts.leaks and not spec.model.allow_leak:
        raise leak_refusal(source, facts.task)
    spec, changes = fit_or_refuse(spec, facts, chosen=chosen)
    if screen is None:
        return gather(spec)
    for note in (*notes, *changes, *(f"{path}: {why}" for path, why in spec.advice.items())):
        screen.print(note, markup=False, highlight=False, soft_wrap=True)
    return gather_shown(spec, screen)


def tried(
    spec: RunSpec, module: nn.Module | None = None, *, trust: bool = False, screen: Console | None = None
) -> tuple[RunSpec, ModelSource | None, ModelFacts, list[str]]:
    """Find out what a spec's model was built for and what it can take; otherwise as :func:`prepared`.

    Returns
    -------
    The spec that names the model's full revision, the model unless it is a live one, the facts, and what its code did
    besides.
    """
    if module is not None:
        return spec, None, ModelFacts.of_loaded(from_module(module, spec.model)), []
    if spec.model.source.startswith("zoo:"):
        source = source_of(spec)  # says what is wrong with its name or its sizes
        return spec, source, _facts_of_ours(spec, source), []
    with doing(screen, "Fetching the model" if is_fetched(spec.model.source) else "Reading the model"):
        spec, source = gather_model(spec, trust=trust)
    with doing(screen, "Testing the model"):
        probe = ProbeService().adapt(source, spec.model)
        try:
            probe.wait()
        finally:
            probe.stop()
    notes = [*probe.notes, *([agreed(source)] if trust and needs_consent(source) else [])]
    return spec, source, ModelFacts.of_answer(probe.answer), notes


def _facts_of_ours(spec: RunSpec, source: ModelSource) -> ModelFacts:
    name = spec.model.source.partition(":")[2]
    facts, task = ModelFacts.of_ours(name), spec.model.task
    if task not in ("auto", facts.task):
        return ModelFacts(cast("Task", task))
    return replace(facts, parameters=sizes.count_parameters(name, source.config))

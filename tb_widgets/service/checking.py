"""Checking a model from Python or a terminal: find it, ask for consent where it is needed, try it, and wait."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tb_widgets.checks.preflight import Preflight, read_preflight
from tb_widgets.checks.result import CheckResult
from tb_widgets.data.tokenizers.special_tokens import vocabulary_with_specials
from tb_widgets.models.source import ModelSource
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.models.trust.consent import TrustStore, agreed, needs_consent
from tb_widgets.models.zoo import sizes
from tb_widgets.service.fitting import BYTES
from tb_widgets.service.probing import Probe, ProbeService
from tb_widgets.spec import RunSpec, asked_for

if TYPE_CHECKING:
    from torch import nn


def vocabulary_of_ours(spec: RunSpec) -> int:
    """Return how many token ids a zoo model is built for: the tokenizer's pieces and the task's special tokens."""
    pieces = BYTES if spec.tokenizer.kind == "byte" else spec.tokenizer.vocab_size
    return vocabulary_with_specials(pieces, sizes.ZOO_TASKS.get(spec.model.source.partition(":")[2], "causal-lm"))


def source_of(spec: RunSpec) -> ModelSource:
    """Find the model that a spec names, with the sizes that its text asks for; no code of it is run.

    Raises
    ------
    ModelError
        If it can't be found or read.
    """
    return resolve(spec.model, vocab_size=vocabulary_of_ours(spec), context_length=spec.data.context_length)


def begin_check(spec: RunSpec, *, tier: int = 2, trust: bool = False) -> Probe:
    """Begin to check the model that a spec names, in a process of its own, and return at once.

    Parameters
    ----------
    tier
        1, or 2 for both.
    trust
        Agree to run the model's code, if it comes from a Gist or the Hub; this is remembered for these very files.

    Raises
    ------
    ModelError
        If the model can't be found, or needs consent and has none.
    """
    source = source_of(spec)
    notes = _agree(source) if trust else []
    probe = ProbeService().check(source, spec.model, tier=tier)
    probe.notes += notes
    return probe


def check(
    model: str | Path | nn.Module = "zoo:gpt",
    *,
    tier: Literal[1, 2] = 2,
    trust: bool = False,
    settings: dict[str, Any] | None = None,
) -> list[CheckResult]:
    """Check a model, and return what each check found.

    Parameters
    ----------
    model
        ``zoo:gpt``, a path, a Gist's address, ``hub:OWNER/NAME``; or a live ``nn.Module``, which is checked in this
        process and left as it was. Anything else is tried in a process of its own.
    tier
        1 for what every model must pass, 2 for a closer look as well.
    trust
        Agree to run the code of a Gist or Hub repository; this is remembered for these very files.
    settings
        Fields by their dotted names, for example ``{"model.task": "masked-lm"}``.

    Raises
    ------
    ModelError
        If the model can't be found, loaded or run, or needs consent and has none.

    Examples
    --------
    >>> for result in check("my_model/"):  # doctest: +SKIP
    ...     print(result.verdict, result.title, result.message)
    """
    spec = RunSpec().with_values(settings or {})
    if isinstance(model, str | Path):
        return begin_check(spec.with_values({"model.source": str(model)}), tier=tier, trust=trust).wait().results
    from tb_widgets.checks.run import run_checks
    from tb_widgets.models.load import from_module

    return run_checks(from_module(model, spec.model), tier=tier)


def begin_preflight(
    spec: RunSpec, *, chosen: Collection[str], micro_batches: bool = False, compiles: bool = False, trust: bool = False
) -> Probe:
    """Begin to measure what the run of a spec would be like, in a process of its own; otherwise as :func:`begin_check`.

    Parameters
    ----------
    chosen
        The fields that somebody chose; the others are fitted to the model.
    micro_batches, compiles
        Try several micro-batches, and compiling, as well.
    """
    source = source_of(spec)
    notes = _agree(source) if trust else []
    probe = ProbeService().preflight(source, spec, chosen=chosen, micro_batches=micro_batches, compiles=compiles)
    probe.notes += [*notes, *(f"{path}: {why}" for path, why in spec.advice.items())]
    return probe


def _agree(source: ModelSource) -> list[str]:
    TrustStore().grant(source)
    return [agreed(source)] if needs_consent(source) else []


def preflight(
    spec: RunSpec | str | Path | None = None,
    *,
    preset: str | None = None,
    model: str | Path | None = None,
    micro_batches: bool = False,
    compiles: bool = False,
    trust: bool = False,
    settings: dict[str, Any] | None = None,
    **fields: Any,
) -> Preflight:
    """Measure on this machine what a run would be like, in 20 seconds at most; in three minutes with compiling.

    Parameters
    ----------
    spec, preset, model, trust, settings, **fields
        What would be trained, as for :func:`tb_widgets.train`.
    micro_batches, compiles
        Try several micro-batches, and compiling, as well.

    Raises
    ------
    SpecError
        With every field that is wrong.
    ModelError
        If the model can't be found, loaded or run, needs consent and has none, or does not fit what was chosen.

    Examples
    --------
    >>> measured = preflight(preset="quick")  # doctest: +SKIP
    >>> measured.per_second, measured.eta, measured.best_threads  # doctest: +SKIP
    """
    asked, chosen = asked_for(spec, preset, model=model, settings=settings, fields=fields)
    probe = begin_preflight(asked, chosen=chosen, micro_batches=micro_batches, compiles=compiles, trust=trust)
    return read_preflight(probe.wait().answer)

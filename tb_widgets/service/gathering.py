"""What a run needs from elsewhere is fetched before it starts: workers know no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tb_widgets.data.sources.ask_process import Progress
from tb_widgets.data.sources.fetching import fetch_data, fetch_tokenizer, pinned_tokenizer
from tb_widgets.data.sources.resolve import resolve_source
from tb_widgets.errors import ModelError
from tb_widgets.models.source import ModelSource
from tb_widgets.models.sources.resolve import decided, fetch, is_fetched, pinned, resolve
from tb_widgets.models.trust.consent import TrustStore, needs_consent
from tb_widgets.spec import RunSpec

if TYPE_CHECKING:
    from rich.console import Console


def tokens_read(spec: RunSpec) -> int:
    """Return how many tokens a run reads at most, those that it reads again included."""
    return spec.training.steps * spec.training.batch_size * spec.data.context_length


def is_remote(spec: RunSpec) -> bool:
    """Tell whether a run's data or tokenizer are elsewhere."""
    return resolve_source(spec.data).is_remote or _tokenizer(spec) is not None


def gather(spec: RunSpec, *, on_progress: Progress | None = None) -> RunSpec:
    """Fetch a run's data and tokenizer if they are elsewhere, and return the spec that names their full revisions.

    Parameters
    ----------
    on_progress
        As for :func:`tb_widgets.data.sources.fetching.fetch_data`.

    Raises
    ------
    DataError
        If they can't be had.
    """
    if resolve_source(spec.data).is_remote:
        fetched = fetch_data(spec.data, tokens=tokens_read(spec), on_progress=on_progress)
        spec = spec.with_values({"data.source": fetched.data.source})
    if (source := _tokenizer(spec)) is not None:
        fetch_tokenizer(source, on_progress=on_progress)
    return with_pinned_data(spec)


def with_pinned_data(spec: RunSpec) -> RunSpec:
    """Return the spec with the full revisions of the copies that are here; without remote data, the spec itself.

    Raises
    ------
    DataError
        If something has not been fetched yet, or too little of it.
    """
    values = {}
    if resolve_source(spec.data).is_remote:
        values["data.source"] = resolve_source(spec.data).pinned(tokens=tokens_read(spec)).source
    if (source := _tokenizer(spec)) is not None:
        values["tokenizer.file"] = pinned_tokenizer(source)
    return spec.with_values(values) if values else spec


def gather_model(spec: RunSpec, *, trust: bool) -> tuple[RunSpec, ModelSource]:
    """Fetch a model that is not ours, and that somebody has agreed to run; a path that the user types is consent.

    Parameters
    ----------
    trust
        Agree to run its code; this is remembered for these very files.

    Returns
    -------
    The spec that names its full revision, and the model with the spec's overrides and repairs.

    Raises
    ------
    ModelError
        If it can't be had, or nobody has agreed to run its code.
    """
    if not is_fetched(spec.model.source):
        return spec, resolve(spec.model, vocab_size=None, context_length=spec.data.context_length)
    source, store = fetch(spec.model.source), TrustStore()
    if needs_consent(source) and spec.hardware.backend == "kernel":
        raise ModelError(
            "hardware.backend: code from a Gist or repository only runs in a separate process, not in this one.",
            hint="Set it to process; or save model.py and config.json in a folder and give its path.",
        )
    if trust:
        store.grant(source)
    store.require(source)
    name = pinned(source)
    spec = spec.with_values({"model.source": name})
    return spec, decided(ModelSource(source.origin | {"source": name}, source.files), spec.model)


def gather_shown(spec: RunSpec, console: Console) -> RunSpec:
    """Do as :func:`gather` and show on a console how far it is: a bar, or one line where nothing is drawn anew."""
    if not is_remote(spec):
        return spec
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    if not (console.is_terminal or console.is_jupyter):
        what = spec.data.source if resolve_source(spec.data).is_remote else spec.tokenizer.file
        console.print(f"Fetching {what}", markup=False)
        return gather(spec)
    with Bars(TextColumn("{task.description}", markup=False), BarColumn(), console=console, transient=True) as bars:
        bar = bars.add_task("Fetching", total=1.0)
        return gather(spec, on_progress=lambda message, share: bars.update(bar, description=message, completed=share))


def _tokenizer(spec: RunSpec) -> str | None:
    file = spec.tokenizer.file
    return file if spec.tokenizer.kind == "file" and file is not None and file.startswith("hub:") else None

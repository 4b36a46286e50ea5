"""What a run would be like on this machine, measured before Start."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tb_widgets.app import words
from tb_widgets.app.parts import widgets
from tb_widgets.app.parts.cards import button, card, row, show
from tb_widgets.app.registry import Panel, panel
from tb_widgets.checks.preflight import (
    Preflight,
    checkpointing_in_words,
    compiling_in_words,
    determinism_in_words,
    read_preflight,
)
from tb_widgets.checks.result import SIGNS
from tb_widgets.service.probing import preflight_within
from tb_widgets.spec.metrics import LOSS
from tb_widgets.wording import duration, size_in_words

if TYPE_CHECKING:
    pass

_TEACHES = (
    "A few steps of this run on this machine, in at most {seconds:.0f} seconds: memory, speed, how long it will take, "
    "and whether the model can overfit one batch."
)


@panel("preflight", step="train", column="side", order=2)
class PreflightPanel(Panel):
    """One button, and the measurements behind it."""

    watches = ("draft", "model")

    def render(self) -> widgets.Widget:
        """Build the card."""
        session = self.session
        self._text = widgets.HTML()
        self._measure = button("Measure on this machine", lambda: self.act(session.preflight), "tbw-at-measure")
        self._try_sizes = button(
            "Find the best micro-batch too",
            lambda: self.act(lambda: session.preflight(micro_batches=True)),
            "tbw-quiet",
            "tbw-at-measure-micro-batches",
        )
        self._size = button("", lambda: self.act(self._use_size), "tbw-at-use-micro-batch")
        show(self._size, False)
        self._threads = button("", lambda: self.act(self._use_threads), "tbw-at-use-threads")
        show(self._threads, False)
        return card("Before you start", [self._text, row([self._measure, self._threads, self._size, self._try_sizes])])

    def _use_threads(self) -> None:
        probe = self.session.choice.measured
        best = read_preflight(probe.answer).best_threads if probe is not None else None
        if best is not None:
            self.session.draft.set("hardware.threads", best)

    def _use_size(self) -> None:
        probe = self.session.choice.measured
        best = read_preflight(probe.answer).best_micro_batch if probe is not None else None
        if best is not None:
            self.session.draft.set("training.micro_batch_size", best)

    def draw(self) -> None:
        """Follow the measurement."""
        choice, draft = self.session.choice, self.session.draft
        probe = choice.measured
        working = probe is not None and probe.state == "working"
        for made in (self._measure, self._try_sizes):
            made.disabled = working or bool(draft.blockers)
        self._measure.description = "Measure again" if probe is not None and not working else "Measure on this machine"
        measured = read_preflight(probe.answer) if probe is not None and probe.answer else None
        best = measured.best_threads if measured is not None and not working else None
        show(self._threads, best is not None and best != measured.threads_used if measured else False)
        self._threads.description = f"Use {best} CPU thread{'s' if best != 1 else ''}"
        size = measured.best_micro_batch if measured is not None and not working else None
        used = draft.spec.training.micro_batch_size or draft.spec.training.batch_size
        show(self._size, size is not None and size != used)
        self._size.description = f"Use micro-batches of {size}"
        parts = [_table(measured, is_whole=not working)] if measured is not None else []
        if probe is None:
            seconds = preflight_within(draft.spec.hardware.compile)
            parts = [f'<p class="tbw-muted">{_TEACHES.format(seconds=seconds)}</p>']
        elif working:
            parts.append(
                f'<p class="tbw-muted">{escape(probe.phase or "Starting")} …</p>'
                '<div class="tbw-progress is-waiting" role="progressbar" aria-label="Working"><span></span></div>'
            )
        elif probe.error is not None:
            parts.append(words.error_note(probe.error))
        self._text.value = "".join(parts)


def _table(measured: Preflight, *, is_whole: bool) -> str:
    """Return what has been measured so far; what was left out is known at the end only."""
    pairs = []
    if measured.peak_bytes is not None:
        of = f" of {size_in_words(measured.memory_bytes)}" if measured.memory_bytes else ""
        pairs.append(("Peak memory", f"{size_in_words(measured.peak_bytes)}{of}"))
    if measured.per_second is not None:
        pairs.append(("Speed", f"{measured.per_second:,.0f} {measured.unit}/s"))
    if measured.eta is not None:
        pairs.append(("The whole run takes about", duration(measured.eta)))
    if measured.first_loss is not None:
        even = f" (uniform guessing: {measured.even_guess:.3f})" if measured.even_guess is not None else ""
        pairs.append(("Initial loss", f"{measured.first_loss:.3f}{even}"))
    if measured.overfit_loss is not None and measured.first_loss is not None:
        told = f"{measured.first_loss:.2f} → {LOSS.written(measured.overfit_loss)} in {measured.overfit_steps} steps"
        pairs.append(("Overfit one batch", f"{told} {SIGNS[measured.overfit]}"))
    if measured.best_threads is not None:
        speeds = ", ".join(f"{speed.count}: {speed.per_second:,.0f} {measured.unit}/s" for speed in measured.threads)
        pairs.append(("CPU threads", speeds))
    if measured.micro_batches:
        speeds = ", ".join(f"{speed.count}: {speed.per_second:,.0f}/s" for speed in measured.micro_batches)
        pairs.append(("Micro-batches", speeds))
    sentences = [
        ("Activations", checkpointing_in_words(measured)),
        ("Determinism", determinism_in_words(measured)),
        ("Compiling", compiling_in_words(measured)),
    ]
    pairs += [(title, sentence) for title, sentence in sentences if sentence]
    left = "".join(words.note(f"Not measured: {text}") for text in measured.left_out if is_whole)
    tone = {"fail": "bad", "warn": "warn"}.get(measured.overfit)
    learns = (
        words.note(
            "The loss of one batch should fall towards zero.",
            tone,
            detail="Lower the learning rate; if that changes nothing, see the Check step.",
        )
        if tone
        else ""
    )
    return (_verdict(measured) if is_whole and not tone else "") + words.facts(pairs) + learns + left


def _verdict(measured: Preflight) -> str:
    """Return what the measurements mean, in a line."""
    peak, there = measured.peak_bytes, measured.memory_bytes
    parts = []
    if peak is not None and there:
        parts.append(f"{'Fits' if peak < there else 'Does not fit'}: {size_in_words(peak)} of {size_in_words(there)}.")
    if measured.eta is not None:
        parts.append(f"About {duration(measured.eta)}.")
    if measured.overfit == "pass":
        parts.append("It learns.")
    is_good = peak is None or not there or peak < there
    return words.note(" ".join(parts), "ok" if is_good else "bad") if parts else ""

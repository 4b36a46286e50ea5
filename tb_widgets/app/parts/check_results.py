"""Results of checks, as the page and a notebook's cell show them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tb_widgets.app import words
from tb_widgets.app.parts.pictures import picture
from tb_widgets.checks.result import SIGNS, WHY, WORDS, CheckResult, Verdict, results_in_words

_TONES: dict[Verdict, str] = {"pass": "ok", "warn": "warn", "fail": "bad", "unknown": ""}


def summary(results: list[CheckResult]) -> tuple[str, str]:
    """Return results in a few words, and their tone."""
    verdicts = {result.verdict for result in results}
    tone = "bad" if "fail" in verdicts else "warn" if "warn" in verdicts else "ok"
    return results_in_words(results) or "nothing was checked", tone


def headline(results: Sequence[CheckResult]) -> str:
    """Return what matters most in one sentence: the worst thing that was found, or that nothing was."""
    worst = next((found for kind in ("fail", "warn") for found in _worst_first(results) if found.verdict == kind), None)
    if worst is None:
        return "This model is ready to train."
    if worst.id == "causality" and worst.verdict == "fail":
        return "This model cheats: it can see the token it has to predict."
    return f"{worst.title}: {worst.message}"


def leaks(results: Sequence[CheckResult]) -> bool:
    """Tell whether the checks found a language model that sees the tokens which it should predict."""
    return any(result.id == "causality" and result.verdict == "fail" for result in results)


def result_rows(results: Sequence[CheckResult], *, pictures: bool = True) -> str:
    """Return results below each other, the worst first; what is good takes a line that unfolds.

    Whatever a model's author wrote is escaped. ``pictures`` says whether they are drawn in place.
    """
    return "".join(_row(result, pictures) for result in _worst_first(results))


def _worst_first(results: Sequence[CheckResult]) -> list[CheckResult]:
    order = ["fail", "warn", "unknown", "pass"]
    return sorted(results, key=lambda result: (order.index(result.verdict), result.id != "causality"))


def result_pictures(results: Sequence[CheckResult]) -> str:
    """Return the pictures of those results that have one, each under the name of its check."""
    return "".join(
        f"<h3>{escape(result.title)}</h3>{picture(result.picture)}" for result in results if result.picture is not None
    )


def _row(result: CheckResult, with_picture: bool) -> str:
    number = (
        "" if result.value is None else words.count(result.value) if result.value >= 1000 else f"{result.value:.3g}"
    )
    measured = f"{number} {result.unit}".strip() if number else ""
    held = f" · {result.threshold}" if result.threshold else ""
    advice = f"<p>{escape(words.form_names(result.advice))}</p>" if result.advice and result.verdict != "pass" else ""
    verdict = words.chip(f"{SIGNS[result.verdict]} {WORDS[result.verdict]}", _TONES[result.verdict])
    drawn = picture(result.picture) if with_picture else ""
    told = f"{verdict} <b>{escape(result.title)}</b> <span>{escape(words.form_names(result.message))}</span>"
    why = f'<div class="tbw-help">Why? {escape(WHY[result.id])}</div>' if result.id in WHY else ""
    numbers = f'<div class="tbw-help">{escape(measured + held if measured else result.threshold)}</div>'
    is_good = result.verdict == "pass"
    return (
        f'<details class="tbw-result" data-check="{escape(result.id)}" data-verdict="{result.verdict}"'
        f"{'' if is_good else ' open'}><summary>{told}</summary>"
        f'<div class="tbw-result-more">{advice}{drawn}{numbers}{why}</div></details>'
    )

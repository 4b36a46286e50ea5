"""Results of checks, as the page and a notebook's cell show them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tb_widgets.app import words
from tb_widgets.app.parts.pictures import picture
from tb_widgets.checks.result import SIGNS, WORDS, CheckResult, Verdict, results_in_words

_TONES: dict[Verdict, str] = {"pass": "ok", "warn": "warn", "fail": "bad", "unknown": ""}


def summary(results: list[CheckResult]) -> tuple[str, str]:
    """Return results in a few words, and their tone."""
    verdicts = {result.verdict for result in results}
    tone = "bad" if "fail" in verdicts else "warn" if "warn" in verdicts else "ok"
    return results_in_words(results) or "nothing was checked", tone


def leaks(results: Sequence[CheckResult]) -> bool:
    """Tell whether the checks found a language model that sees the tokens which it should predict."""
    return any(result.id == "causality" and result.verdict == "fail" for result in results)


def result_rows(results: Sequence[CheckResult], *, pictures: bool = True) -> str:
    """Return results below each other: sign and word, what was found, advice, number and picture; a leak stands first.

    Whatever a model's author wrote is escaped. ``pictures`` says whether they are drawn in place.
    """
    first = sorted(results, key=lambda result: (result.verdict != "fail", result.id != "causality"))
    return "".join(_row(result, pictures) for result in (first if leaks(results) else results))


def result_pictures(results: Sequence[CheckResult]) -> str:
    """Return the pictures of those results that have one, each under the name of its check."""
    return "".join(
        f"<h4>{escape(result.title)}</h4>{picture(result.picture)}" for result in results if result.picture is not None
    )


def _row(result: CheckResult, with_picture: bool) -> str:
    number = (
        "" if result.value is None else words.count(result.value) if result.value >= 1000 else f"{result.value:.3g}"
    )
    measured = f"{number} {result.unit}".strip() if number else ""
    held = f" · {result.threshold}" if result.threshold else ""
    advice = f"<p>{escape(result.advice)}</p>" if result.advice and result.verdict != "pass" else ""
    verdict = words.chip(f"{SIGNS[result.verdict]} {WORDS[result.verdict]}", _TONES[result.verdict])
    drawn = picture(result.picture) if with_picture else ""
    return (
        f'<div class="tbw-result" data-check="{escape(result.id)}" data-verdict="{result.verdict}">'
        f"<div>{verdict}</div>"
        f"<div><b>{escape(result.title)}</b> <span>{escape(result.message)}</span>{advice}"
        f'<div class="tbw-help">{escape(measured + held if measured else result.threshold)}</div>{drawn}'
        "</div></div>"
    )

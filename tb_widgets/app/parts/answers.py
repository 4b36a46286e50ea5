"""What a model answers, so that right and wrong are seen at once: by a sign and by colour."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from tb_widgets.app import words
from tb_widgets.app.parts.pictures import seen
from tb_widgets.spec import task_record

MASK = "[MASK]"
MOST_CLASSES = 5
_CLASS = re.compile(r"(?P<name>.+?) (?P<share>\d+) %(?:, |$)")


def sample(record: dict[str, Any]) -> str:
    """Return one sample as HTML: a text that goes on, or what was shown, what was answered, and what is true.

    Parameters
    ----------
    record
        A line of a run's samples file, which may hold anything.
    """
    prompt, text = str(record["prompt"]), str(record["text"])
    expected = record.get("expected")
    truth = expected if isinstance(expected, str) else ""
    task = task_record(str(record.get("task", "")))
    if task.continues:
        return f'<pre class="tbw-text tbw-sample"><mark>{escape(prompt)}</mark>{escape(text)}</pre>'
    if task.tells_classes:
        told = classes(text, truth)
        beside = told if task.reads_images else f'<pre class="tbw-text">{escape(prompt)}</pre>{told}'
        return f'<div class="tbw-answer">{seen(record.get("picture"), f"<div>{beside}</div>", prompt)}</div>'
    if MASK in prompt and "«" in text:
        return _filled(prompt, text, truth)
    verdict = words.verdict(text.strip() == truth.strip()) if truth else ""
    return _rows([("Input", escape(prompt)), ("Answer", f"{escape(text)} {verdict}"), ("Correct", escape(truth))])


def classes(text: str, truth: str = "") -> str:
    """Return the probability of each class as a bar; ``truth`` names the right one, where it is known."""
    found = [(match["name"], int(match["share"])) for match in _CLASS.finditer(text)]
    if not found:
        return f"<p>{escape(text)}</p>"
    lines = "".join(
        f'<tr><td>{escape(name)}</td><td><span class="tbw-stick" style="width:{min(share, 100)}%"></span></td>'
        f"<td>{share} %</td></tr>"
        for name, share in found[:MOST_CLASSES]
    )
    is_right = found[0][0] == truth.strip()
    verdict = f"{words.verdict(is_right)}{'' if is_right else f' correct: {escape(truth)}'}" if truth else ""
    return f'<table class="tbw-sticks">{lines}</table>{f"<p>{verdict}</p>" if verdict else ""}'


def _filled(prompt: str, text: str, truth: str) -> str:
    """Return the three lines of a text with gaps: as shown, as filled, and as it was."""
    parts = prompt.split(MASK)
    guesses = _between(parts, text, guessed=True)
    hidden = _between(parts, truth, guessed=False) if truth else []
    shown = '<span class="tbw-token is-hidden">?</span>'.join(map(escape, parts))
    guessed, right = [escape(parts[0])], [escape(parts[0])]
    for number, part in enumerate(parts[1:]):
        guess = guesses[number] if number < len(guesses) else ""
        known = hidden[number] if number < len(hidden) else None
        kind, sign = ("", "") if known is None else ("is-right", "✓") if guess == known else ("is-wrong", "✕")
        guessed += [f'<span class="tbw-token {kind}">{sign}{escape(_visible(guess))}</span>', escape(part)]
        right += [f'<span class="tbw-token is-asked">{escape(_visible(known or ""))}</span>', escape(part)]
    rows = [("Input", shown), ("Prediction", "".join(guessed))]
    return _rows([*rows, ("Correct", "".join(right))] if hidden else rows)


def _between(parts: list[str], text: str, *, guessed: bool) -> list[str]:
    """Return what stands between the parts of a prompt in a text that fills its gaps."""
    found = []
    rest = text[len(parts[0]) :] if text.startswith(parts[0]) else text
    for part in parts[1:]:
        if guessed:
            match = re.match(r"\s*«(.*?)»", rest, re.DOTALL)
            end = match.end() if match else 0
            found.append(match[0].replace("«", "", 1)[:-1] if match else "")
        else:
            end = rest.find(part) if part else len(rest)
            found.append(rest[: max(0, end)])
        rest = rest[max(0, end) + len(part) :]
    return found


def _visible(piece: str) -> str:
    """Return a token so that it can be seen on its line: a line break as ↵, nothing but space as ␣."""
    return piece.replace("\n", "↵") if piece.strip(" ") else "␣" * len(piece)


def _rows(rows: list[tuple[str, str]]) -> str:
    lines = "".join(f"<dt>{name}</dt><dd>{line}</dd>" for name, line in rows if line)
    return f'<dl class="tbw-answer tbw-aligned">{lines}</dl>'

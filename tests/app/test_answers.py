"""What a model answers, with right and wrong told by a sign and not by colour alone."""

from __future__ import annotations

import re

from tb_widgets.app.parts.answers import classes, sample


def lines(html):
    return dict(re.findall(r"<dt>(\w+)</dt><dd>(.*?)</dd>", html, re.DOTALL))


def text(html):
    return re.sub(r"<[^>]+>", "", html)


def test_a_filled_text_stands_in_three_lines_with_a_sign_at_each_guess():
    record = {
        "task": "masked-lm",
        "prompt": "str[MASK]ng fo[MASK]matting",
        "text": "str«i»ng fo«a»matting",
        "expected": "string formatting",
    }
    found = lines(sample(record))
    assert text(found["Input"]) == "str?ng fo?matting"
    assert text(found["Prediction"]) == "str✓ing fo✕amatting"
    assert text(found["Correct"]) == "string formatting"


def test_a_prompt_without_a_known_answer_is_not_judged():
    found = sample({"task": "masked-lm", "prompt": "a [MASK] b", "text": "a «x» b"})
    assert "Correct" not in found
    assert "✓" not in found
    assert "✕" not in found


def test_a_classifier_shows_bars_and_says_what_would_be_right():
    assert "✓ correct" in classes("code 64 %, prose 36 %", "code")
    wrong = classes("code 64 %, prose 36 %", "prose")
    assert "✕ wrong" in wrong
    assert "correct: prose" in text(wrong)
    assert "width:64%" in wrong


def test_an_answer_is_held_against_the_truth():
    record = {"task": "seq2seq", "prompt": "cba", "text": "abc", "expected": "abc"}
    assert "✓ correct" in sample(record)
    assert "✕ wrong" in sample(record | {"text": "abd"})


def test_whatever_a_file_holds_is_shown_as_text():
    evil = "<script>alert(1)</script>"
    for task in ("", "masked-lm", "seq2seq", "sequence-classification", "vision-classification", evil):
        record = {"task": task, "prompt": f"[MASK]{evil}", "text": f"«{evil}»{evil} 99 %, {evil}", "expected": evil}
        assert "<script" not in sample(record | {"picture": evil})


def test_a_line_break_and_a_space_are_seen_where_they_were_guessed():
    record = {"task": "masked-lm", "prompt": "a[MASK]b[MASK]c", "text": "a«\n»b« »c", "expected": "a b\nc"}
    found = lines(sample(record))
    assert text(found["Prediction"]) == "a✕↵b✕␣c"
    assert text(found["Correct"]) == "a␣b↵c"

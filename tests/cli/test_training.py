"""Training from a terminal and from a script."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from tb_widgets import TrainingService
from tb_widgets.runs.status import write_status

from .conftest import Terminal, begin, command, finish

LONG = ("--set", "training.steps=10000000", "--set", "evaluation.every=1000", "--set", "checkpoints.every=100000")


@pytest.fixture
def service(tmp_path):
    """The runs of a test, as another process sees them; none outlives the test."""
    training = TrainingService(tmp_path)
    yield training
    for run in training.active():
        training.kill(run)


def test_a_run_in_the_background_is_paused_resumed_and_stopped(tiny_file, tmp_path, service, until):
    detached = command("train", tiny_file, *LONG, "--detach", "--json", runs=tmp_path)
    assert detached.code == 0, detached.err
    run = service.attach(detached.json["run_id"])
    until(lambda: run.status().step > 0)
    assert "pauses after its current step" in command("pause", "latest", runs=tmp_path).out
    until(lambda: run.status().state == "paused")
    assert command("resume", "latest", "--detach", runs=tmp_path).code == 0
    until(lambda: run.status().state == "running")
    refused = command("resume", "latest", runs=tmp_path)
    assert (refused.code, refused.out) == (2, "")
    assert "is already running" in refused.err
    watching = begin("show", "latest", "--follow", "--json", runs=tmp_path)
    assert "stops after its current step and saves" in command("stop", "latest", runs=tmp_path).out
    watched = finish(watching)
    assert watched.code == 0
    assert watched.json["state"] == "stopped"
    assert run.checkpoints()[-1].step == watched.json["step"] == run.status().step


def test_without_a_terminal_it_says_a_line_for_each_evaluation(tiny_file, tmp_path):
    said = command("train", tiny_file, "--set", "evaluation.every=5", runs=tmp_path)
    assert said.code == 0, said.err
    assert re.findall(r"^step (\d+) of 20: loss \d", said.out, re.MULTILINE) == ["5", "10", "15", "20"]
    assert "Done: 20 steps" in said.out
    best = r"^Best val/loss: \d\.\d{3} at step 20, as if choosing among \d+ bytes\.$"
    assert re.search(best, said.out, re.MULTILINE)
    (since,) = re.findall(r"^✓ step (\d+): better than an even guess \(5\.545\)$", said.out, re.MULTILINE)
    better = rf"^Better than an even guess \(5\.545\) since step {since}; next: a unigram \(\d\.\d{{3}}\)\.$"
    assert re.search(better, said.out, re.MULTILINE)
    assert "\x1b" not in said.out


@pytest.fixture
def chinese(tmp_path):
    """A text in an encoding that is noticed, too short for the vocabulary that is asked for."""
    file = tmp_path / "gb.txt"
    file.write_bytes(("春天来了，花开了。学而时习之，不亦说乎。\n" * 400).encode("gb18030"))
    return file


@pytest.mark.parametrize("as_json", [True, False])
def test_what_was_found_out_about_the_data_is_said_once_while_it_trains(tiny_file, tmp_path, chinese, as_json):
    words = ["--set", "tokenizer.kind=bpe", "--set", "tokenizer.vocab_size=1024", *(["--json"] if as_json else [])]
    said = command("train", tiny_file, "--data", chinese, *words, runs=tmp_path / "runs")
    assert said.code == 0, said.err
    told = said.err if as_json else said.out
    lines = [line for line in told.splitlines() if line.startswith("⚠ warning: ")]
    assert len(lines) == len(set(lines)) == 3
    assert "gb18030" in "".join(lines)
    assert "you asked for 1,024" in "".join(lines)
    if as_json:
        assert said.json["state"] == "done"
    again = command("show", "latest", "--follow", runs=tmp_path / "runs")
    assert again.out.count("⚠ warning: ") == 3


def test_a_resumed_run_does_not_repeat_old_warnings(tiny_file, tmp_path, chinese):
    words = ["--data", chinese, "--set", "tokenizer.kind=bpe", "--set", "tokenizer.vocab_size=1024"]
    assert command("train", tiny_file, *words, "--set", "training.steps=4", runs=tmp_path / "runs").code == 0
    run = TrainingService(tmp_path / "runs").attach("latest")
    old = [{"n": 9000, "time": 1.0, "kind": "warning", "message": "This is history."}]
    run.events_file.write_text("".join(json.dumps(event) + "\n" for event in old))
    write_status(run.status_file, replace(run.status(), state="stopped", total=20))
    said = command("resume", "latest", runs=tmp_path / "runs")
    assert said.code == 0, said.err
    assert "history" not in said.out
    assert "⚠ warning: " in said.out


def test_a_rate_that_is_not_typical_is_told_and_trained_with(tiny_file, tmp_path):
    rate = ["--set", "training.learning_rate=0.00000001", "--set", "training.steps=1"]
    said = command("train", tiny_file, *rate, "--runs-dir", tmp_path)
    assert said.code == 0
    told = "training.learning_rate: 0.00000001 is far below what is typical for AdamW (0.0001 to 0.003)"
    assert told in " ".join((said.out + said.err).split())


def test_a_text_that_is_not_there_is_refused_and_leaves_no_run(tiny_file, tmp_path):
    said = command("train", tiny_file, "--data", "nowhere.txt", "--json", runs=tmp_path / "runs")
    assert said.code == 2
    assert "there is no file 'nowhere.txt'" in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "runs").exists()


def test_a_run_that_fails_says_why_and_exits_with_1(tiny_file, tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("Too short.")
    said = command("train", tiny_file, "--data", short, "--json", runs=tmp_path)
    assert said.code == 1
    assert said.json["state"] == "failed"
    assert "short.txt has 9 tokens, but one context needs 17" in said.err
    assert "log.txt" in said.err
    assert "Traceback" not in said.err
    shown = command("show", said.json["run_id"], runs=tmp_path)
    assert "short.txt has 9 tokens" in shown.out.partition("log.txt:")[2]  # the end of its log


def test_ctrl_c_in_a_terminal_saves_and_stops(tiny_file, tmp_path, service, until):
    terminal = Terminal("train", tiny_file, *LONG, runs=tmp_path)
    until(lambda: terminal.shows(r"step [\d,]{4,} of 10,000,000"))
    until(lambda: terminal.shows(r"loss \d\.\d+ · validation \d\.\d+ · .*left"))
    assert "left" in terminal.plain
    assert "━" in terminal.plain
    assert "\x1b[" in terminal.screen
    terminal.press_ctrl_c()
    assert terminal.exit_code() == 130
    for words in ("Stopping after this step, saving a checkpoint.", "Stopped at step", "tb-widgets resume"):
        assert words in terminal.plain
    run = service.attach("latest")
    assert run.status().state == "stopped"
    stopped = run.status().step
    assert run.checkpoints()[-1].step == stopped
    resumed = Terminal("resume", run.id[-4:], runs=tmp_path)
    until(lambda: run.status().step > stopped)
    watching = Terminal("show", "latest", "--follow", runs=tmp_path)
    until(lambda: watching.shows(r"step [\d,]{4,} of 10,000,000"))
    watching.press_ctrl_c()
    assert watching.exit_code() == 130
    assert "Detached: " in watching.plain
    assert run.status().state == "running", "who only watches stops nothing"
    resumed.press_ctrl_c()
    assert resumed.exit_code() == 130
    assert run.status().state == "stopped"
    assert run.checkpoints()[-1].step == run.status().step > stopped


def test_ctrl_c_ends_a_demo_without_its_sample(tmp_path, text_file, service, until):
    settings = ("--set", 'tokenizer.kind="byte"', "--set", "model.config={n_layer: 1, n_head: 2, n_embd: 16}")
    terminal = Terminal("demo", "--data", text_file, *settings, *LONG, runs=tmp_path)
    until(lambda: terminal.shows(r"step [\d,]{3,} of 10,000,000"))
    terminal.press_ctrl_c()
    assert terminal.exit_code() == 130
    assert "Try next" not in terminal.plain
    run = service.attach("latest")
    assert run.checkpoints()[-1].step == run.status().step
    assert run.status().state == "stopped"


def test_a_second_ctrl_c_does_not_wait_for_the_stop(tiny_file, tmp_path, service, until):
    terminal = Terminal("train", tiny_file, *LONG, runs=tmp_path)
    # A worker that has not begun to train can't stop yet, so there is time for the second one.
    until(lambda: terminal.shows("starting"))
    terminal.press_ctrl_c()
    until(lambda: terminal.shows("Press Ctrl-C"))
    terminal.press_ctrl_c()
    assert terminal.exit_code() == 130
    assert "Detached: " in terminal.plain
    assert "Watch it with: tb-widgets show --follow" in terminal.plain
    run = service.attach("latest")
    assert run.status().is_active
    until(lambda: run.status().state == "stopped")


def test_a_terminal_shows_warnings_above_the_bar(tiny_file, tmp_path, chinese):
    terminal = Terminal("train", str(tiny_file), "--data", str(chinese), runs=str(tmp_path / "runs"))
    assert terminal.exit_code() == 0
    assert len(re.findall("⚠ warning: [^⚠]*gb18030", terminal.plain)) == 1

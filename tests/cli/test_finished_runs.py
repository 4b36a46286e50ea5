"""Commands that look at a finished run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import COMMAND, Terminal, begin, command, finish


def test_train_ends_with_one_line_for_machines(trained):
    runs, said = trained
    assert said.code == 0, said.err
    facts = said.json
    assert facts["state"] == "done"
    assert facts["step"] == 20
    assert Path(facts["path"]) == runs / facts["run_id"]
    assert "-first-" in facts["run_id"]
    assert facts["metrics"].keys() >= {"train/loss", "val/loss", "val/perplexity", "val/accuracy"}
    assert "step 10 of 20" in said.err  # progress goes where it does not disturb


def test_runs_lists_it_for_people_and_machines(trained):
    runs, said = trained
    table = command("runs", runs=runs)
    assert table.code == 0
    header, row = table.out.splitlines()
    assert header.split() == ["run", "state", "step", "best", "age", "model", "data"]
    assert row.split()[:5] == ["first", "·", said.json["run_id"][-4:], "done", "20"]
    assert re.search(r"  \d\.\d{3}  (just now|\d+ min)  GPT small  squares\.txt$", row)
    assert command("runs", "--json", "--runs-dir", runs).json[0]["run_id"] == said.json["run_id"]


def test_a_terminal_lists_names_that_are_enough_for_a_command(trained):
    runs, said = trained
    end = said.json["run_id"][-4:]
    terminal = Terminal("runs", runs=runs)
    assert terminal.exit_code() == 0
    header, row, *_, hint = (line for line in terminal.lines if line)
    assert header.split()[:5] == ["run", "state", "step", "best", "age"]
    assert row.startswith(f"first · {end}  done ")
    assert hint.endswith(f"tb-widgets show {end}")
    assert command("show", end, "--json", runs=runs).json["run_id"] == said.json["run_id"]


def test_a_folder_without_runs_is_no_error(tmp_path):
    assert "No runs in" in command("runs", runs=tmp_path).out
    assert command("runs", "--json", runs=tmp_path / "nowhere").json == []


def test_show_tells_figures_checkpoints_and_curve(trained):
    runs, said = trained
    shown = command("show", "latest", runs=runs)
    assert shown.code == 0
    for words in (said.json["run_id"], "20 of 20", "validation", "checkpoint 20", "best", "Loss (nats per token)"):
        assert words in shown.out
    assert re.search(r"means  as if choosing among \d+ bytes\n", shown.out)
    assert re.search(r"compared  Better than an even guess \(5\.545\) since step \d+; next: a unigram", shown.out)
    assert re.search(r"checkpoint 20 .*, bits per byte \d\.\d{3}, top 5 \d+\.\d %", shown.out), "details have them all"
    assert max(map(len, shown.out[shown.out.index("Loss (nats") :].splitlines())) < 80
    facts = command("show", said.json["run_id"][-4:], "--json", runs=runs).json
    assert [info["step"] for info in facts["checkpoints"]] == [10, 20]
    assert facts["spec"]["training"]["steps"] == 20


def test_show_tells_what_the_curves_mean(trained, tmp_path):
    runs, said = trained
    shown = command("show", "latest", runs=runs).out
    assert "hint: Validation loss was still falling at the end. Continue for 20 more steps." in shown

    run = tmp_path / said.json["run_id"]
    shutil.copytree(runs / run.name, run)
    line = {"step": 20, "val/loss": 0.1, "train/loss": 0.1, "lr": 1e-3}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    shown = command("show", run.name, runs=tmp_path).out
    assert "hint: The loss is suspiciously low" in shown
    assert "It is 0.10 nats per character at step 20" in shown
    (hint,) = command("show", run.name, "--json", runs=tmp_path).json["hints"]
    assert hint.keys() == {"sentence", "why", "action", "tone"}


def test_environments_and_settings_are_compared(trained, tmp_path):
    runs, said = trained
    shown = command("show", "latest", "--environment", runs=runs)
    assert shown.code == 0, shown.err
    assert re.search(r"^torch +\d+\.", shown.out, re.MULTILINE)
    assert re.search(r"^tb_widgets (commit|sha256) +[0-9a-f]{12}…$", shown.out, re.MULTILINE)
    assert re.search(r"^seed +42$", shown.out, re.MULTILINE)
    for name in ("1111", "2222"):
        shutil.copytree(said.json["path"], tmp_path / f"20260101-000000-first-{name}")
    file = tmp_path / "20260101-000000-first-2222" / "environment.json"
    facts = json.loads(file.read_text())
    facts["packages"] |= {"torch": "1.0", "plotly": "\x1b[2J"}
    file.write_text(json.dumps(facts))
    shown = command("show", "1111", "--environment", "--against", "2222", runs=tmp_path).out
    assert "2 differences from 20260101-000000-first-2222:" in shown
    assert re.search(r"^torch +\S+, there 1\.0$", shown, re.MULTILINE)
    assert "\x1b" not in shown
    told = command("show", "1111", "--environment", "--against", "2222", "--json", runs=tmp_path).json
    assert told["differences"]["packages.torch"] == [told["environment"]["packages"]["torch"], "1.0"]
    same = command("show", "1111", "--environment", "--against", "1111", runs=tmp_path).out
    assert "No differences from 20260101-000000-first-1111." in same
    assert command("show", "1111", "--against", "2222", runs=tmp_path).code == 2
    spec = tmp_path / "20260101-000000-first-2222" / "run.yaml"
    spec.write_text(spec.read_text().replace("learning_rate: 0.001", "learning_rate: 0.002"))
    table = command("compare", "1111", "2222", runs=tmp_path)
    assert table.out.splitlines()[0].split() == ["1111", "2222"], table.err
    assert re.search(r"^training\.learning_rate +0\.001 +0\.002$", table.out, re.MULTILINE)
    assert re.search(r"^torch +\S+ +1\.0$", table.out, re.MULTILINE)
    assert command("compare", "--json", runs=tmp_path).json["20260101-000000-first-2222"]["torch"] == "1.0"


def test_following_a_run_that_has_ended_returns_at_once(trained):
    runs, _ = trained
    assert "Done: 20 steps" in command("show", "latest", "--follow", runs=runs).out


def test_generate_writes_the_same_text_for_the_same_seed(trained):
    runs, _ = trained
    words = ("generate", "latest", "--checkpoint", "10", "--prompt", "7 times", "--length", "20", "--seed", "3")
    processes = begin(*words, runs=runs), begin(*words, "--json", runs=runs)  # both at once: each loads the model
    for_people, for_machines = map(finish, processes)
    assert for_people.code == for_machines.code == 0, for_people.err
    facts = for_machines.json
    assert (facts["checkpoint"], facts["prompt"]) == (10, "7 times")
    assert len(facts["text"]) > 0
    assert for_people.out == f"7 times{facts['text']}\n"


def test_generate_prints_a_text_while_it_grows_and_ends_the_line_where_it_is_broken_off(trained):
    words = ("generate", "latest", "--checkpoint", "10", "--prompt", "7 times", "--length", "1000000")
    # A CI step may be started with SIGINT ignored, which children inherit.
    process = begin(*words, runs=trained[0], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stdout.read(12).startswith("7 times")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.endswith("\n")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal that is made up")
def test_a_terminal_is_shown_what_would_steer_it_and_a_pipe_gets_it_as_it_is(trained):
    words = ("generate", "latest", "--checkpoint", "10", "--prompt", "\x1b[31m 7 times", "--length", "5")
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, *words], env=os.environ | {"TB_RUNS_DIR": str(trained[0])}, stdout=theirs, stdin=subprocess.DEVNULL
    )
    assert process.wait(timeout=120) == 0
    assert os.read(ours, 1000).decode("utf-8", "replace").startswith("␛[31m 7 times")
    os.close(ours)
    os.close(theirs)
    assert command(*words, runs=trained[0]).out.startswith("\x1b[31m 7 times")


def test_what_a_run_says_does_not_steer_the_terminal(trained, tmp_path):
    folder = tmp_path / "20260101-000000-odd-1234"
    shutil.copytree(trained[1].json["path"], folder)
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"message": "\x1b[2Jgone", "model": "\x1b]0;x"}))
    for words in (("show", "latest"), ("runs",)):
        said = command(*words, runs=tmp_path)
        assert said.code == 0, said.err
        assert "\x1b" not in said.out
        assert "␛]0;x" in said.out


def test_why_a_checkpoint_can_not_write_is_said(trained, tmp_path):
    said = trained[1]
    shutil.copytree(Path(said.json["path"]), tmp_path / said.json["run_id"])
    with (tmp_path / said.json["run_id"] / "model" / "model.py").open("a") as file:
        file.write("# changed\n")
    told = command("generate", "latest", runs=tmp_path)
    assert (told.code, told.out) == (2, "")
    assert "its checksum differs" in told.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "nowhere"], "There is no run 'nowhere'"),
        (["pause", "latest"], "can't be paused: it is done"),
        (["stop", "latest"], "can't be stopped: it is done"),
        (["resume", "latest"], "--more-steps N"),
        (["generate", "latest", "--checkpoint", "7"], "There are: 10, 20."),
    ],
)
def test_what_can_not_be_done_is_one_sentence(trained, words, sentence):
    said = command(*words, runs=trained[0])
    assert said.code == 2
    assert sentence in said.err
    assert said.err.startswith("Error: ")
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_run_that_is_done_is_trained_for_more_steps(trained, tmp_path):
    folder = tmp_path / trained[1].json["run_id"]
    shutil.copytree(trained[1].json["path"], folder)
    said = command("resume", folder.name[-4:], "--more-steps", "10", runs=tmp_path)
    assert "The schedule is stretched to 30 steps, so the learning rate rises again, from" in " ".join(said.err.split())
    assert said.code == 0, said.err
    assert "Done: 30 steps" in said.out
    assert re.findall(r"^step (\d+) of 30", said.out, re.MULTILINE) == ["30"]
    stopped = json.loads((folder / "status.json").read_text()) | {"state": "stopped", "step": 20}
    (folder / "status.json").write_text(json.dumps(stopped))
    refused = command("resume", "latest", "--more-steps", "10", runs=tmp_path)
    assert (refused.code, refused.out) == (2, "")
    assert "is stopped: it has steps left.\nResume it instead." in refused.err
    assert command("resume", "latest", "--more-steps", "0", runs=tmp_path).code == 2
    assert command("resume", "latest", "--more-steps", "5", "--from-start", runs=tmp_path).code == 2


def test_demo_trains_draws_and_writes(tmp_path, text_file, tiny):
    changes = [f"{field}={json.dumps(value)}" for field, value in DEMO.items()]
    said = command("demo", "--data", text_file, *(word for item in changes for word in ("--set", item)), runs=tmp_path)
    assert said.code == 0, said.err
    for words in ("Loss (nats per token)", "● validation", "best checkpoint (step 20)", "Try next:", "tb-widgets app"):
        assert words in said.out
    drawn = [line for line in said.out.splitlines() if "┤" in line or "│" in line or "┴" in line]
    assert len(drawn) == 13
    assert all(len(line) < 80 for line in drawn)


DEMO = {
    "model.config": {"n_layer": 1, "n_head": 2, "n_embd": 16},
    "tokenizer.kind": "byte",
    "data.context_length": 16,
    "training.steps": 20,
    "evaluation.every": 10,
}

"""What a terminal is told before anything is trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tb_widgets.cli.specs import allowed
from tb_widgets.spec import RunSpec, preset

from .conftest import COMMAND, Terminal, command


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["runs"], ["spec"]], ids=" ".join)
def test_quick_commands_load_nothing_heavy(words, tmp_path):
    code = (
        "import sys, tb_widgets.cli as cli\n"
        "try: cli.main()\n"
        "finally: print(*{'torch', 'plotly', 'ipywidgets'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == ""
    assert done.stdout


def test_help_names_every_command():
    listed = command("--help").out
    for name in (
        "demo",
        "app",
        "train",
        "resume",
        "check",
        "preflight",
        "runs",
        "show",
        "pause",
        "stop",
        "generate",
        "export",
        "spec",
    ):
        assert f"│ {name} " in listed
    assert "--runs-dir" in command("train", "--help").out
    assert "--no-browser" in command("app", "--help").out


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        (["nowhere.yaml"], ["nowhere.yaml can't be read"]),
        (["--preset", "giant"], ["there is no preset 'giant'", "quick"]),
        (["--set", "training.steps"], ["write a setting as section.field=value"]),
        (["--set", "training.stepz=3"], ["training.stepz: there is no such field. Did you mean training.steps?"]),
        (
            ["--set", "training.steps=0", "--set", "data.context_length=many"],
            [
                "2 fields are wrong:",
                "training.steps: must be at least 1",
                "data.context_length: must be a whole number",
            ],
        ),
        (["a.yaml", "--preset", "quick"], ["give a spec or a preset, not both"]),
        (["--no-such-option"], ["No such option"]),
    ],
)
def test_a_wrong_spec_is_told_in_words_with_exit_code_2(words, sentences, tmp_path):
    said = command("train", *words, "--json", runs=tmp_path)
    assert said.code == 2
    assert said.out == ""
    assert "Traceback" not in said.err
    for sentence in sentences:
        assert sentence in said.err
    assert not list(tmp_path.iterdir())


def test_a_runs_folder_that_can_not_be_written_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    said = command("train", "--preset", "quick", "--runs-dir", file / "runs")
    assert said.code == 2
    assert str(file / "runs") in said.err
    assert "Traceback" not in said.err


def test_an_unexpected_error_keeps_its_traceback():
    code = "import tb_widgets.cli as cli, tb_widgets.cli.look as look; look.console = None; cli.main()"
    done = subprocess.run([sys.executable, "-c", code, "runs"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "TypeError" in done.stderr


def test_spec_prints_yaml_that_reads_back(tmp_path):
    said = command("spec", "--preset", "quick", "--set", "training.learning_rate=3e-4")
    assert RunSpec.from_yaml(said.out) == preset("quick").with_values({"training.learning_rate": 3e-4})
    file = tmp_path / "spec.yaml"
    file.write_text(said.out)
    checked = command("spec", "check", file)
    assert (checked.code, checked.out) == (0, f"{file} is a valid spec.\n")


def test_spec_check_prints_every_error_at_once(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text("training: {steps: -1, batch: 3}\ncheckpoints: {mode: high}\n")
    said = command("spec", "check", file)
    assert said.code == 2
    assert said.out == ""
    for field in ("training.steps", "training.batch", "checkpoints.mode"):
        assert f"  {field}: " in said.err


def test_the_reference_has_every_field():
    lines = command("spec", "--reference").out.splitlines()
    fields = [line.split("`")[1] for line in lines[2:]]
    assert fields == ["schema", *(card.path for card in RunSpec.field_cards() if card.path != "schema_version")]
    assert "| `training.learning_rate` | `0.001` | number (peak), more than 0, at most 10 |" in "\n".join(lines)


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_the_reference_is_a_table_that_fits(columns, tmp_path):
    terminal = Terminal("spec", "--reference", runs=tmp_path, columns=columns)
    assert terminal.exit_code() == 0
    lines = terminal.lines
    assert max(map(len, lines)) <= columns
    assert not any(sign in terminal.plain for sign in ("|", "`"))
    cards = [card for card in RunSpec.field_cards() if card.path != "schema_version"]
    beginnings = {line.split(" ")[0] for line in lines if line}
    assert beginnings >= {card.path for card in cards}
    words = set(terminal.plain.split())
    for card in cards:
        assert words >= set(card.help.split()), card.path
        assert words >= set(allowed(card).split()), card.path


def test_the_installed_command_is_this_one():
    installed = subprocess.run(["tb-widgets", "--help"], capture_output=True, text=True, check=False, env=ON_PATH)
    assert installed.stdout == subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout


ON_PATH = {"PATH": str(Path(sys.executable).parent), "COLUMNS": "80"}

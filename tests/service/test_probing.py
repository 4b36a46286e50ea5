"""Whatever a model's code does, the answer is a sentence, and this process goes on."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import psutil
import pytest

from tb_widgets.errors import ModelError
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.service import probing
from tb_widgets.service.probing import Probe, ProbeService
from tb_widgets.spec import ModelSpec

from .conftest import CANARIES

HEAD = "import os, sys, threading, time\nimport torch\nfrom torch import nn\n"
MODEL = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        {init}
        self.table = nn.Embedding(20, 8)
        self.out = nn.Linear(8, 20)
    def forward(self, input_ids):
        {forward}
        return self.out(self.table(input_ids).cumsum(1))
"""


@pytest.fixture
def adapt(tmp_path: Path):
    """Ask about a model whose code does something odd at import, in its constructor, or in its forward pass."""
    probes: list[Probe] = []

    def ask(top: str = "", init: str = "pass", forward: str = "pass", **limits) -> Probe:
        (tmp_path / "model.py").write_text(HEAD + top + MODEL.format(init=init, forward=forward))
        (tmp_path / "config.json").write_text('{"task": "causal-lm"}')
        spec = ModelSpec(source=str(tmp_path))
        probe = ProbeService(**limits).adapt(resolve(spec, vocab_size=None, context_length=8), spec)
        probes.append(probe)
        return probe

    yield ask
    for probe in probes:
        probe.stop()


def failed(probe: Probe) -> str:
    with pytest.raises(ModelError) as caught:
        probe.wait(60)
    assert probe.state == "failed"
    return str(caught.value)


def test_a_good_model_is_described(adapt):
    probe = adapt().wait(60)
    assert (probe.state, probe.notes) == ("done", [])
    answer = probe.answer
    assert (answer["title"], answer["task"], answer["parameters"]) == ("Model", "causal-lm", 20 * 8 * 2 + 20)
    assert (answer["vocab_size"], answer["context_limit"]) == (20, None)
    assert {"what", "value", "why", "override"} == set(answer["conclusions"][0])


@pytest.mark.parametrize(
    ("place", "code", "message"),
    [
        (
            "top",
            "while True: pass\n",
            "Importing model.py did not end within 1 s; it was at line 4 of model.py: `while",
        ),
        (
            "init",
            "while True: pass",
            "Building the model did not end within 1 s; it was at line 8 of model.py, in Model.",
        ),
        (
            "forward",
            "time.sleep(600)",
            "Calling forward did not end within 1 s; it was at line 12 of model.py, in Model.",
        ),
        ("forward", "'a'.join('b' for _ in iter(int, 1))", "Calling forward did not end within 1 s; it was at line 12"),
        # In native code that lets no other thread of Python go on.
        (
            "forward",
            "10 ** 10 ** 9",
            "Calling forward did not end within 1 s; it was at line 12 of model.py, in Model.",
        ),
    ],
)
def test_code_that_never_returns_is_stopped_and_its_line_named(adapt, place, code, message):
    told = failed(adapt(**{place: code}, time_limit=1.0))
    assert message in told
    assert f"`{code.strip()}`." in told
    assert "an endless loop," in told


def test_a_check_that_never_returns_is_told_before_the_time_of_all_is_over(tmp_path, monkeypatch):
    """Only training hangs, and what was found before is kept."""
    monkeypatch.setattr(probing, "STEP_WITHIN", 5.0)
    forward = "if torch.is_grad_enabled() and input_ids.shape[0] > 3: time.sleep(600)"
    (tmp_path / "model.py").write_text(HEAD + MODEL.format(init="pass", forward=forward))
    (tmp_path / "config.json").write_text('{"task": "causal-lm"}')
    spec = ModelSpec(source=str(tmp_path))
    probe = ProbeService().check(resolve(spec, vocab_size=None, context_length=8), spec)
    message = failed(probe)
    assert re.match(
        r"The check “[a-z ]+” did not end within 5 s; it was at line 12 of model\.py, in Model\.fo", message
    )
    assert probe.results


@pytest.mark.parametrize(
    ("gigabytes", "limits"), [(100, {}), (2, {"memory_limit": 10**9})], ids=["more than there is", "more than allowed"]
)
def test_memory_that_is_not_there_is_refused(adapt, gigabytes, limits):
    message = failed(adapt(init=f"self.hoard = torch.empty({gigabytes}_000_000_000, dtype=torch.uint8)", **limits))
    assert f"The model's code asks for {gigabytes} GB at once, but " in message


def test_memory_that_grows_bit_by_bit_is_refused(adapt):
    message = failed(adapt(top="hoard = []\nwhile True: hoard.append(bytearray(50_000_000))\n", memory_limit=10**9))
    # Whoever sees it first: the system, when more is asked for, or we, when more is taken.
    assert "used more than 1 GB of memory" in message or "asks for more memory, and 1 GB are free" in message


def test_memory_of_its_children_counts_too(adapt):
    eat = "import time; hoard = b'1' * 700_000_000; time.sleep(60)"
    start = f"import subprocess\nchild = subprocess.Popen([sys.executable, '-c', {eat!r}])\nchild.wait()\n"
    probe = adapt(top=start, memory_limit=9 * 10**8)
    assert "used more than 900 MB of memory" in failed(probe)


@pytest.mark.parametrize(
    ("place", "call", "words"),
    [
        ("top", "sys.exit(3)", "SystemExit"),
        ("init", "sys.exit(3)", "SystemExit"),
        ("forward", "sys.exit(3)", "SystemExit"),
        ("forward", "os._exit(3)", "ended its process (exit code 3) (calling forward)"),
    ],
)
def test_code_that_leaves(adapt, place, call, words):
    assert words in failed(adapt(**{place: call + "\n"}))


def test_code_that_crashes_python(adapt):
    message = failed(adapt(init="os.kill(os.getpid(), 11)"))
    assert "was killed by the system (SIGSEGV)" in message


def test_printing_without_end_neither_blocks_nor_fills_anything(adapt):
    probe = adapt(
        top="print('{\"answer\": 1}')\nfor _ in range(3_000): print('x' * 1000)\n",
        forward="print('y', file=sys.stderr)",
    ).wait(60)
    assert probe.answer["task"] == "causal-lm"
    assert any("printed 3 MB" in note for note in probe.notes)
    assert len(probe.printed) < 10_000
    assert "y" in probe.printed


def test_what_the_code_writes_into_our_pipe_is_no_answer(adapt):
    forged = json.dumps({"error": "forged", "hint": ""})
    write = f"for fd in range(1, 30):\n    try: os.write(fd, b'garbage {{ ' + {forged!r}.encode() + b'\\n[1]\\n7 of')\n"
    probe = adapt(top=f"{write}    except OSError: pass\n").wait(60)
    assert probe.state == "done"
    assert probe.answer["task"] == "causal-lm"
    assert any("wrote to an internal pipe;" in note for note in probe.notes)


def test_what_left_our_sight_is_not_waited_for(adapt):
    """Forked twice into a session of its own, with our pipes in its hands."""
    fork = "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(20)\n    os._exit(0)\n"
    adapt().wait(60)
    began = time.monotonic()
    assert adapt(top=fork).wait(60).state == "done"
    assert time.monotonic() - began < 15


def test_a_long_message_of_the_model_is_quoted_in_part(adapt):
    message = failed(adapt(forward="raise ValueError('begin ' + 'x' * 3_000_000 + '\\x1b[31m end')"))
    assert len(message) < 1500
    assert "ValueError: begin xxx" in message
    assert "…" in message
    assert "\x1b" not in message


def test_what_the_code_does_besides_is_told(adapt, tmp_path):
    besides = {
        "torch.manual_seed(7)": "sets torch's seed to 7",
        "torch.set_default_dtype(torch.float64)": "sets the default dtype to torch.float64",
        "torch.set_num_threads(torch.get_num_threads() + 3)": "sets torch's threads to",
        "threading.Thread(target=time.sleep, args=(600,)).start()": "starts threads that keep running: 1",
        f"open('{tmp_path}/diary.txt', 'w').write('x')": f"writes files: {tmp_path}/diary.txt.",
        "os.system('true')": "starts another program",
        "import socket; s = socket.socket(); s.connect_ex(('127.0.0.1', 9))": "opens a network connection",
    }
    notes = adapt(top="\n".join(besides) + "\n").wait(60).notes
    assert len(notes) == len(besides)
    for words in besides.values():
        assert any(words in note for note in notes)


@pytest.mark.parametrize("forward", ["while True: pass", "pass"], ids=["stopped", "done"])
def test_nothing_is_left_behind(adapt, tmp_path, until, forward):
    """Neither the process nor what it started, also where that left the process's session."""
    sleep = "import time; time.sleep(600)"
    start = (
        "import subprocess\n"
        f"child = subprocess.Popen([sys.executable, '-c', {sleep!r}], start_new_session=True)\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
    )
    probe = adapt(top=start, forward=forward, time_limit=5.0)
    probe.finished.wait(60)
    assert probe.state == ("done" if forward == "pass" else "failed")
    until(lambda: not psutil.pid_exists(int((tmp_path / "child").read_text())))
    until(lambda: probe._process.has_ended)


def test_stop_ends_at_once(adapt):
    probe = adapt(top="time.sleep(600)\n")
    probe.stop()
    assert probe.wait(1).state == "stopped"
    assert probe._process.has_ended


def test_neither_secrets_nor_input_reach_the_code(adapt, tmp_path, monkeypatch):
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    top = f"open({str(tmp_path / 'seen')!r}, 'w').write(str(dict(os.environ)))\ninput('Go on? ')\n"
    assert "EOFError" in failed(adapt(top=top))
    assert "canary" not in (tmp_path / "seen").read_text()


def test_a_waiting_process_is_used_once(adapt):
    ProbeService().warm()
    waiting = ProbeService._waiting
    assert adapt()._process is waiting
    assert adapt()._process is not waiting


def test_a_waiting_process_that_died_is_no_harm(adapt):
    ProbeService().warm()
    ProbeService._waiting.kill()
    assert adapt().wait(60).state == "done"


def test_nothing_that_needs_consent_is_asked_without_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TB_CONFIG_DIR", str(tmp_path))
    (tmp_path / "model.py").write_text(HEAD + MODEL.format(init="pass", forward="pass"))
    (tmp_path / "config.json").write_text("{}")
    source = resolve(ModelSpec(source=str(tmp_path)), vocab_size=None, context_length=8)
    origin = {
        "kind": "gist",
        "id": "abc",
        "revision": "1" * 40,
        "owner": "somebody",
        "url": "https://gist.github.com/abc",
    }
    source.origin.update(origin | {"fetched": source.origin["sha256"]})
    processes = len(psutil.Process().children())
    with pytest.raises(ModelError, match="somebody"):
        ProbeService().adapt(source, ModelSpec())
    assert len(psutil.Process().children()) == processes


def test_checks_come_one_by_one():
    spec = ModelSpec(preset="tiny")
    probe = ProbeService().check(resolve(spec, vocab_size=60, context_length=16), spec, tier=1)
    seen: list[int] = []
    watcher = threading.Thread(target=lambda: seen.extend(_counts(probe)))
    watcher.start()
    probe.wait(60)
    watcher.join()
    assert [result.id for result in probe.results][:3] == ["loads", "shapes", "gradients"]
    assert len(set(seen)) > 2


def _counts(probe: Probe):
    while not probe.finished.is_set():
        yield len(probe.results)
        time.sleep(0.01)

"""Whatever happens in a process that is asked, whoever asks gets its answers and no others, and is not kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from tb_widgets.errors import DataError
from tb_widgets.runs.json_process import PIPES_WITHIN, JsonProcess

HEAD = "import json, os, subprocess, sys, time\nfrom tb_widgets.runs.json_process import Asker\n"
SERVE = "asker = Asker()\nfor request in asker.requests():\n"
SLEEP = "[sys.executable, '-c', 'import time; time.sleep(600)']"
GO_AWAY = f"subprocess.Popen({SLEEP}, start_new_session=True, stdout=os.dup(asker.fileno()))"


@pytest.fixture
def start(tmp_path):
    started = []

    def run(answer: str, **options) -> JsonProcess:
        (tmp_path / "serves.py").write_text(HEAD + SERVE + "".join(f"    {line}\n" for line in answer.splitlines()))
        started.append(JsonProcess("serves", os.environ, folder=tmp_path, **options))
        return started[-1]

    yield run
    for process in started:
        process.kill()


def test_requests_are_answered_until_whoever_asks_hangs_up(start):
    process = start("asker.tell(**request)\nasker.tell(of=sorted(request))")
    for number in (1, 2):
        assert process.send({"number": number})
        answers = process.answers()
        assert [next(answers), next(answers)] == [{"number": number}, {"of": ["number"]}]
    process.hang_up()
    assert (list(process.answers()), process.wait()) == ([], 0)
    assert list(process.answers()) == []
    assert not process.foreign


def test_what_others_write_into_the_pipe_is_no_answer(start):
    code = "os.write(asker.fileno(), b'{\"a\": 1}\\n[1]\\n\\xff\\n' + b'[' * 100_000 + b'\\n{\"no end')\n"
    process = start(f"{code}asker.tell(true=True)")
    process.send({}, last=True)
    assert list(process.answers()) == [{"true": True}]
    assert process.foreign.startswith(b'{"a": 1}\n[1]\n\xff\n[[[[')
    assert len(process.foreign) < 100_000


def test_printing_much_keeps_nobody_and_its_end_is_kept(start):
    process = start("print('x' * 1_000_000)\nprint('the', 'last\\nwords', file=sys.stderr)\nasker.tell(done=input)")
    process.send({}, last=True)
    assert list(process.answers()) == []  # a function is no JSON
    assert process.code == 1
    assert process.printed > 1_000_000
    assert "xxx\nthe last\nwords\n" in process.words
    assert len(process.words) < 10_000
    assert "not JSON serializable" in process.last_words(1)


def test_input_is_at_its_end_for_everybody_else(start):
    process = start("asker.tell(read=sys.stdin.readline())")
    process.send({})
    assert next(process.answers()) == {"read": ""}


def test_a_moment_that_is_over_ends_the_listening(start):
    process = start("asker.tell(n=1)\ntime.sleep(600)")
    process.send({})
    assert next(process.answers()) == {"n": 1}
    began = time.monotonic()
    assert list(process.answers(began + 0.3)) == []
    assert 0.3 <= time.monotonic() - began < 2
    assert not process.has_ended
    process.kill()
    assert process.code == -9


def test_what_left_its_group_with_our_pipe_is_not_waited_for(start):
    process = start(f"child = {GO_AWAY}\nasker.tell(pid=child.pid)\nos._exit(7)")
    process.send({})
    began = time.monotonic()
    (answer,) = process.answers()
    assert process.code == 7
    assert time.monotonic() - began < PIPES_WITHIN + 5
    psutil.Process(answer["pid"]).kill()


@pytest.mark.parametrize("away", [False, True], ids=["it ends", "it is killed"])
def test_what_it_started_ends_with_it(start, until, away):
    """Also what has left its group, as long as somebody can tell whose it is."""
    child = f"subprocess.Popen({SLEEP}, start_new_session={away})"
    process = start(f"asker.tell(pid={child}.pid)\n{'time.sleep(600)' if away else 'os._exit(7)'}")
    process.send({})
    pid = next(process.answers())["pid"]
    if away:
        process.kill()
    process.wait()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_it_leaves_with_whoever_asks_although_a_fork_holds_its_pipe(start, tmp_path, until):
    start("time.sleep(600)").kill()  # writes the module
    code = (
        "import os, time\nfrom tb_widgets.runs.json_process import JsonProcess\n"
        "process = JsonProcess('serves', os.environ)\nprocess.send({})\n"
        "fork = os.fork()\nif fork: print(process.pid, fork, flush=True)\ntime.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    with parent:
        pid, fork = map(int, parent.stdout.readline().split())
        parent.kill()
        until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        psutil.Process(fork).kill()


def test_a_request_that_nobody_reads_is_told(start):
    process = start("pass")
    process.kill()
    assert not process.send({"long": "x" * 1_000_000})


def test_a_process_that_may_outlive_us_prints_into_a_file(start):
    process = start("os.write(asker.fileno(), b'x' * 1_000_000)\nprint('\\nits', 'end')", outlives=True)
    process.send({}, last=True)
    assert process.wait() == 0
    assert process.last_words(1) == "its end"


def test_a_process_that_can_not_be_started_is_told_in_the_askers_terms(tmp_path):
    with pytest.raises(DataError, match=r"A process to count in can't be started: No such file.*Free some memory"):
        JsonProcess("os", {}, folder=tmp_path / "none", name="process to count in", raises=DataError)

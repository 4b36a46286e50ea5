"""Texts that follow each other: what an ended process still says stays out of the next text."""

from __future__ import annotations

import queue

import pytest

from tb_widgets.runs.checkpoints import write_checkpoint
from tb_widgets.service import generation as generation_module
from tb_widgets.service.generation import GenerationService


class PretendedProcess:
    """A process that says what the test lets it say, also after it was killed."""

    def __init__(self):
        self.said, self.killed, self.code = queue.Queue(), False, -9
        self.has_ended = False  # as right after a kill, before anybody has looked

    def send(self, _request):
        return True

    def answers(self):
        return iter(self.said.get, None)

    def last_words(self):
        return ""

    def says(self, **answer):
        self.said.put(answer)

    def ends(self):
        self.said.put(None)

    def kill(self):
        self.killed = True


@pytest.fixture
def processes(monkeypatch):
    made = []

    def child(*_):
        made.append(PretendedProcess())
        return made[-1]

    monkeypatch.setattr(generation_module, "JsonProcess", child)
    yield made
    for process in made:
        process.ends()


def test_a_text_after_a_stopped_one_is_written_by_another_process(make_run, processes, until):
    run, service = make_run(state="done"), GenerationService()
    first = service.generate(run, run.path, "One ")
    processes[0].says(piece="two")
    until(lambda: first.text)
    service.stop()
    assert (first.state, first.text, processes[0].killed) == ("stopped", "two", True)

    second = service.generate(run, run.path, "Three ")
    processes[0].says(piece="LATE")
    processes[0].ends()
    processes[1].says(piece="four")
    processes[1].says(done=True, tokens_per_second=5.0)

    until(second.finished.is_set)
    assert (second.state, second.text) == ("done", "four")


def test_a_process_that_waits_writes_the_first_text(make_run, processes):
    run, service = make_run(state="done"), GenerationService()
    service.warm()
    service.warm()
    service.generate(run, run.path, "One ")
    assert len(processes) == 1


def test_whoever_looks_at_the_playground_finds_a_process_that_waits(dashboard, make_run, processes):
    run = make_run(state="done")
    meta = {"step": 20, "metrics": {"val/loss": 1.5}}
    write_checkpoint(run.checkpoints_folder, 20, {"model.safetensors": lambda path: path.touch()}, meta)
    dashboard.open_run(run.id)
    dashboard.show("runs")
    dashboard.refresh()
    assert processes == []  # no page is there
    dashboard.has_page = True
    dashboard.refresh()
    dashboard.refresh()
    assert len(processes) == 1

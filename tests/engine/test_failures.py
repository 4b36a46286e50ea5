"""How a run ends when it can't go on."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from tb_widgets.data.batches.windows import Batches
from tb_widgets.engine.inputs import gather_inputs
from tb_widgets.engine.saver import CheckpointSaver
from tb_widgets.engine.session import train_run
from tb_widgets.engine.trainer import Trainer
from tb_widgets.errors import RunError, TrainingError
from tb_widgets.runs import create_run
from tb_widgets.runs.checkpoints import verify
from tb_widgets.runs.journal import JournalWriter
from tb_widgets.spec.batch import Batch


class BreaksDown(nn.Module):
    """Works for some training steps; then its logits are not numbers, or it raises."""

    def __init__(self, after: int, error: BaseException | None = None) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 256)
        self.after, self.error, self.calls = after, error, 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        if self.calls <= self.after:
            return self.table(ids)
        if self.error is not None:
            raise self.error
        return self.table(ids) * float("nan")


def test_a_loss_that_is_no_number_fails_the_run_and_spares_its_checkpoints(tiny, train):
    run = train(tiny({"training.steps": 40}), BreaksDown(after=25))
    status = run.status()
    assert status.state == "failed"
    assert status.message == "The loss became NaN at step 21.", "after three attempts from step 20"
    assert "Lower the learning rate" in status.hint
    checkpoints = run.checkpoints()
    assert [info.step for info in checkpoints] == [10, 20]
    for info in checkpoints:
        verify(info.path)
    last = json.loads(run.events_file.read_text().splitlines()[-1])
    assert (last["kind"], last["message"]) == ("failed", status.message)


class NotDeterministic(BreaksDown):
    """Writes to places of a tensor, which PyTorch does in no certain order."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        torch.zeros(3).put_(torch.tensor([1]), torch.tensor([2.0]))
        return super().forward(ids)


def test_an_operation_that_is_not_deterministic_is_named(tiny, train):
    module = NotDeterministic(after=99)
    assert train(tiny({"training.steps": 5}), module).status().state == "done"
    refused = train(tiny({"training.steps": 5, "training.deterministic": True}), module).status()
    assert refused.state == "failed"
    assert "training.deterministic is true, and the model uses put_, which" in refused.message
    assert "Set training.deterministic to false" in refused.hint
    assert train(tiny({"training.steps": 5}), module).status().state == "done", "the next run decides anew"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("no such head"), "ValueError: no such head"),
        (
            torch.OutOfMemoryError("tried to allocate 8 GiB"),
            "do not fit into memory (tried to allocate 8 GiB)",
        ),
        (SystemExit(3), "called sys.exit(3)"),
        (KeyboardInterrupt(), "was interrupted"),
        (GeneratorExit(), "GeneratorExit"),
    ],
    ids=["the model's own error", "out of memory", "sys.exit", "Ctrl-C", "anything else"],
)
def test_whatever_the_model_raises_is_a_sentence_in_the_status(tiny, train, capfd, error, sentence):
    run = train(tiny(), BreaksDown(after=5, error=error))
    state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    assert run.status().state == state
    assert sentence in run.status().message
    assert run.status().hint
    last = json.loads(run.events_file.read_text().splitlines()[-1])
    assert (last["kind"], last["message"]) == (state, run.status().message)
    assert "Traceback" in capfd.readouterr().err  # which a worker sends to log.txt


class TooLarge(nn.Module):
    """Asks for more memory than there is on any machine."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 256)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if self.training:
            torch.empty(10**15)
        return self.table(ids)


def test_main_memory_that_is_full_is_told_with_its_remedy(tiny, train):
    status = train(tiny(), TooLarge()).status()
    assert status.message == "The model and its batch do not fit into memory ({}).".format(
        "can't allocate memory: you tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)"
    )
    assert "Set a micro-batch" in status.hint


def test_a_journal_that_can_not_be_written_ends_the_run_in_words(tiny, tmp_path):
    run = create_run(tmp_path, tiny({"training.steps": 10_000_000}))

    class TakesTheFileAway(BreaksDown):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            if self.calls == 5:
                run.metrics_file.unlink(missing_ok=True)
                run.metrics_file.mkdir()
            return super().forward(ids)

    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        train_run(run, module=TakesTheFileAway(after=10**9))
    assert run.status().state == "failed"
    assert "metrics.jsonl" in run.status().message


class Unlabelled:
    """Batches in which no label counts."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def batch(self, step: int) -> Batch:
        whole = self._batches.batch(step)
        return whole | {"labels": torch.full_like(whole["labels"], -100)}


def test_a_batch_without_a_label_is_told(tiny, tmp_path):
    run = create_run(tmp_path, tiny())
    journal = JournalWriter(run.metrics_file, run.events_file, run.status_file, run.status())
    inputs = gather_inputs(run, journal, None)
    saver, cpu = CheckpointSaver(run, run.spec.checkpoints, journal), torch.device("cpu")
    options = {"run": run, "journal": journal, "saver": saver, "device": cpu, "dtype": torch.float32}
    trainer = Trainer(run.spec, inputs.model, inputs.data, **options)
    trainer.batches = Unlabelled(trainer.batches)
    with pytest.raises(TrainingError, match="No label of step 1 counts") as caught:
        trainer.run_to_end()
    assert "Use other data or a larger batch, so that" in caught.value.hint
    journal.close()


def test_a_text_that_is_shorter_than_a_window_says_so(tiny, train, tmp_path):
    file = tmp_path / "short.txt"
    file.write_text("Too short.")
    status = train(tiny({"data.source": str(file)})).status()
    assert status.state == "failed"
    assert "tokens" in status.message
    assert "context" in status.hint

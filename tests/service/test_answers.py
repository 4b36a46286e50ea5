"""A checkpoint answers in the way of its model's task."""

from __future__ import annotations

import pytest

from tb_widgets.data.batches.pictures import SHAPES
from tb_widgets.engine.session import train_run
from tb_widgets.errors import ModelError, RunError
from tb_widgets.runs import create_run
from tb_widgets.service.generation import GenerationService
from tb_widgets.service.run import Run

SMALL = {"n_layer": 1, "n_head": 2, "n_embd": 16}
PAIRS = {"data.source": "reversed-words", "data.context_length": 64}


@pytest.fixture
def trained(tmp_path, tiny):
    def train(**fields):
        run = create_run(tmp_path, tiny({"model.preset": "tiny", "model.config": SMALL, **fields}))
        assert train_run(run) == "done", run.status().message
        return Run(run.path)

    return train


def test_a_masked_model_fills_the_gaps_of_a_prompt(trained):
    chosen = trained(**{"model.source": "zoo:bert"}).last
    text = chosen.generate("3 [MASK]imes [MASK]")
    assert text.startswith("3 «")
    assert "»imes «" in text
    assert text.endswith("»")
    assert text == chosen.generate("3 [MASK]imes [MASK]", temperature=2.0, seed=5)  # nothing is drawn
    with pytest.raises(
        ModelError, match=r"The model fills in masked tokens, and this prompt has none: 'No gap'.*Write \[MASK\]"
    ):
        chosen.generate("No gap")
    with pytest.raises(ModelError, match=r"The prompt has 41 tokens, but the model was trained on at most 16"):
        chosen.generate("x" * 40 + "[MASK]")


def test_a_sequence_to_sequence_model_answers_within_its_length(trained):
    chosen = trained(**{"model.source": "zoo:t5"}, **PAIRS).last
    answer = chosen.generate("one two", length=5)
    assert not answer.startswith("one two")
    assert len(answer.encode()) <= 5 * 3  # a byte that is no character is shown as a sign of three
    assert answer == chosen.generate("one two", length=5)


def test_a_run_that_lost_how_its_answers_are_read_says_so(trained):
    run = trained()
    run.directory.data_file.unlink()
    with pytest.raises(RunError, match=r"data\.json can't be read: .*Copy it again"):
        run.last.generate("One ")


def test_a_model_that_sorts_images_is_shown_some_that_it_has_never_seen(trained):
    shapes = {"data.source": "drawn-shapes", "model.config": SMALL | {"image_size": 16}}
    run = trained(**{"model.source": "zoo:vit"}, **shapes)
    with pytest.raises(ModelError, match=r"The model classifies images, but a prompt is text\..*Leave it empty"):
        run.last.generate("A circle")
    lines = run.last.generate(length=5).splitlines()
    assert [line.partition(" → ")[0] for line in lines] == ["circle", "square", "triangle", "cross", "circle"]
    assert {part.split()[0] for part in lines[0].partition(" → ")[2].split(", ")} == {*SHAPES}
    assert len(run.last.generate(length=200).splitlines()) == 16
    assert run.last.generate(length=5, seed=1) != run.last.generate(length=5)
    writers = GenerationService()
    try:
        looked = writers.generate(run.directory, run.last.path, "", length=5)
        assert looked.finished.wait(60)
    finally:
        writers.close()
    assert (looked.state, looked.text.splitlines()) == ("done", lines), looked.message
    assert len({*looked.pictures}) == 5


def test_the_process_that_writes_says_what_kind_of_answer_it_is(trained):
    run = trained(**{"model.source": "zoo:bert"})
    writers = GenerationService()
    try:
        filled = writers.generate(run.directory, run.last.path, "3 [MASK]")
        assert filled.finished.wait(60)
        assert (filled.state, filled.task, filled.tokens_per_second) == ("done", "masked-lm", None)
        assert filled.text.startswith("3 «")
        refused = writers.generate(run.directory, run.last.path, "no gap")
        assert refused.finished.wait(60)
        assert refused.state == "failed"
        assert "Write [MASK] where a token is missing." in refused.message
    finally:
        writers.close()
    assert (filled.state, refused.state) == ("done", "failed")  # the end of the process changes nothing

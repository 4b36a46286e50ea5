"""Documents that share a window without seeing each other, and texts out of which stretches are cut."""

from __future__ import annotations

import json

import pytest
import torch

from tb_widgets.data.batches.streams import next_tokens
from tb_widgets.engine.inference.sampling import sample_tokens
from tb_widgets.engine.inference.writer import open_writer
from tb_widgets.models.zoo.gpt import GPT, GPTConfig

from .conftest import losses

END = 9


def test_documents_of_a_window_by_hand():
    batch = next_tokens(torch.tensor([[1, 2, END, 3, 4, END, 5], [END, 1, 2, 3, 4, 5, 6]]), END)
    assert batch["tokens"].tolist() == [[1, 2, END, 3, 4, END], [END, 1, 2, 3, 4, 5]]
    assert batch["documents"].tolist() == [[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[2, END, -100, 4, END, -100], [-100, 2, 3, 4, 5, 6]]
    assert batch["documents"].dtype == torch.int64


def test_a_text_ends_where_the_model_ends_it_and_nothing_else_beyond_the_tokenizer_is_written():
    def logits(tokens):
        found = torch.zeros(1, tokens.shape[1], 12)
        found[..., 11] = 9.0  # knows more than the tokenizer
        found[..., END + 1 if tokens.shape[1] == 4 else 3] = 5.0
        return found

    rules = {"context_length": 8, "length": 6, "vocab_size": END + 1, "temperature": 0.0}
    assert list(sample_tokens(logits, [1], **rules)) == [3, 3, 3, 0, 3, 3]
    assert list(sample_tokens(logits, [1], **rules, end=END + 1)) == [3, 3, 3]
    assert list(sample_tokens(logits, [1], **rules, end=3)) == []  # one of the tokenizer's own


@pytest.mark.parametrize("config", [{}, {"positions": "learned"}, {"ngram": 3}, {"trigrams": 50}])
def test_a_document_is_read_as_if_it_stood_alone(config):
    torch.manual_seed(0)
    model = GPT(GPTConfig(20, 16, n_layer=2, n_head=2, n_embd=16, **config))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tokens = torch.randint(20, (1, 12))
    documents = torch.tensor([[0] * 3 + [1] * 4 + [2] * 5])
    together = model(tokens, documents)[0]
    for first, last in ((0, 3), (3, 7), (7, 12)):
        alone = model(tokens[:, first:last])[0]
        torch.testing.assert_close(together[first:last], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model(tokens)[0, 3:], together[3:], atol=1e-3)


def test_documents_can_not_be_kept_apart_where_there_is_one_or_another_task(tiny, train):
    run = train(tiny({"data.reset_attention": True}))
    assert run.status().message == "data.reset_attention separates documents, but squares.txt is one document."
    run = train(tiny({"data.reset_attention": True, "model.source": "zoo:bert"}))
    assert run.status().message.startswith("data.reset_attention is for models that continue texts (causal-lm), not")


def test_documents_are_kept_apart_in_a_run_whose_model_can_be_told(tiny, train, tmp_path):
    for number in range(60):
        (tmp_path / f"{number}.txt").write_text(f"Story {number} is about {number} mice and {number} cats. ")
    fields = {"data.source": str(tmp_path / "*.txt"), "data.reset_attention": True, "data.validation_fraction": 0.3}
    apart = train(tiny(fields))
    assert apart.status().state == "done", apart.status().message
    assert json.loads(apart.data_file.read_text())["document_end"] == 256
    together = train(tiny(fields | {"data.reset_attention": False}))
    assert losses(apart) != losses(together)

    class Deaf(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.output = torch.nn.Embedding(300, 8), torch.nn.Linear(8, 300)

        def forward(self, input_ids):
            return self.output(self.tokens(input_ids))

    status = train(tiny(fields | {"model.config": {}, "model.task": "causal-lm"}), module=Deaf()).status()
    assert status.message == ("data.reset_attention is true, but the model has no argument for it.")
    assert "document_ids" in status.hint


@pytest.fixture
def filling(tiny):
    small = {"n_layer": 1, "n_head": 2, "n_embd": 16}
    fields = {"model.source": "zoo:t5", "model.preset": "tiny", "model.config": small, "data.context_length": 64}
    return tiny(fields | {"evaluation.sample_length": 16})


def test_a_model_that_turns_one_text_into_another_learns_to_fill_gaps_of_a_plain_text(filling, train):
    run = train(filling)
    assert run.status().state == "done", run.status().message
    assert json.loads(run.data_file.read_text()) == {"classes": [], "gaps": 3, "document_end": None}
    sample = json.loads(run.samples_file.read_text().splitlines()[0])
    assert sample["prompt"].count("[MASK]") == sample["text"].count("«") == sample["text"].count("»") == 3
    stretches = sample["prompt"].split("[MASK]")
    assert sample["text"].startswith(stretches[0] + "«")
    assert sample["text"].endswith("»" + stretches[-1])
    writer = open_writer(run, run.checkpoints()[-1].path)
    assert "".join(writer.write(sample["prompt"], length=16)) == sample["text"]
    for prompt, sentence in (
        ("No gap.", "masked tokens, and this prompt"),
        ("[MASK]," * 4, "the model was trained on"),
    ):
        with pytest.raises(Exception, match=sentence):
            list(writer.write(prompt, length=4))

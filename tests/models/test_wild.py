"""Models of the shapes that people bring, each a file of our own: the right task without a flag, and it learns."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.teaching import batch_for, learns, loss_of, said
from tb_widgets.models.load import build
from tb_widgets.models.sources.resolve import resolve
from tb_widgets.spec import ModelSpec

WILD = Path(__file__).parent / "wild"
SMALL = '{"vocab_size": 40, "n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 24}'
ANNOTATED = '{"src_vocab": 50, "tgt_vocab": 30, "N": 1, "d_model": 16, "d_ff": 32, "h": 2}'
TUTORIAL = (
    '{"num_encoder_layers": 1, "num_decoder_layers": 1, "emb_size": 16, "nhead": 2, "src_vocab_size": 50, '
    '"tgt_vocab_size": 30}'
)
HF = (
    '{"architectures": ["%s"], "vocab_size": 40, "hidden_size": 16, "num_attention_heads": 2, '
    '"max_position_embeddings": 24, "num_labels": 3}'
)
# File, config.json, task, vocabulary, longest context.
MODELS = {
    "gpt_dataclass": (SMALL, "causal-lm", 40, 24),
    "gpt_default_config": (SMALL[:-1] + ', "model_type": null}', "causal-lm", 40, 24),
    "bigram_lecture": ('{"vocab_size": 40}', "causal-lm", 40, 16),
    "llama_like": (
        '{"vocab_size": 40, "dim": 16, "n_layers": 2, "n_heads": 2, "n_kv_heads": 1, "max_seq_len": 24}',
        "causal-lm",
        40,
        48,
    ),
    "state_space": ('{"vocab_size": 37, "d_model": 16, "n_layer": 2}', "causal-lm", 40, None),
    "rwkv_like": ('{"vocab_size": 40, "n_embd": 16, "n_layer": 2, "ctx_len": 24}', "causal-lm", 40, 24),
    "word_lstm": ('{"ntoken": 40}', "causal-lm", 40, None),
    "word_transformer": ('{"ntoken": 40, "d_model": 16, "nhead": 2, "d_hid": 32, "nlayers": 1}', "causal-lm", 40, 80),
    "bert_pretraining": ('{"vocab_size": 40}', "masked-lm", 40, 64),
    "bert_hf_like": (HF % "BertForMaskedLM", "masked-lm", 40, 24),
    "bert_hf_like/classes": (HF % "BertForSequenceClassification", "sequence-classification", 40, 24),
    "text_cnn": ("{}", "sequence-classification", 40, None),
    "lstm_classifier": ('{"vocab_size": 40}', "sequence-classification", 40, None),
    "encoder_decoder": (ANNOTATED, "seq2seq", 50, 100),
    "translation_tutorial": (TUTORIAL, "seq2seq", 50, 120),
    "recurrent_translator": ("{}", "seq2seq", 50, None),
    "t5_like": ('{"vocab_size": 40, "d_model": 16, "num_heads": 2}', "seq2seq", 40, None),
    "vit_patches": (
        '{"image_size": 12, "patch_size": 4, "num_classes": 4, "dim": 16, "depth": 1, "heads": 2, "mlp_dim": 16, '
        '"channels": 1}',
        "vision-classification",
        None,
        None,
    ),
    "vit_config": (
        '{"image_size": 12, "patch_size": 4, "num_classes": 4, "hidden_size": 16, "num_attention_heads": 2, '
        '"num_channels": 1}',
        "vision-classification",
        None,
        None,
    ),
}


def bring(tmp_path, name):
    config = MODELS[name][0]
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    (tmp_path / "model.py").write_bytes((WILD / f"{name.partition('/')[0]}.py").read_bytes())
    torch.manual_seed(0)
    return build(resolve(ModelSpec(source=str(tmp_path)), vocab_size=None, context_length=8))


@pytest.mark.parametrize("name", MODELS)
def test_the_task_is_told_without_a_flag_and_the_model_learns(tmp_path, name):
    _, task, vocab, limit = MODELS[name]
    model = bring(tmp_path, name)
    assert (model.task, model.vocab_size, model.context_limit) == (task, vocab, limit)
    assert not model.adapter.leaks, model.adapter.conclusions
    assert all(c.why.endswith(".") for c in model.adapter.conclusions)
    assert learns(model, steps=20)


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("vit")])
def test_the_logits_are_where_the_labels_are(tmp_path, name):
    model = bring(tmp_path, name)
    model.module.eval()
    batch = batch_for(model)
    with torch.no_grad():
        logits = model.logits(batch)
        width = model.adapter.classes or model.adapter.decoder_vocab_size or model.vocab_size
        assert logits.shape == (*batch["labels"].shape, width)
        assert torch.isfinite(loss_of(model, batch))
        # One row alone scores as it does among others.
        alone = model.logits({role: value[:1] for role, value in batch.items()})
    torch.testing.assert_close(logits[:1], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["bert_hf_like/classes", "encoder_decoder", "translation_tutorial", "t5_like"])
def test_padding_never_reaches_the_logits(tmp_path, name):
    model = bring(tmp_path, name)
    model.module.eval()
    batch = batch_for(model)
    other = batch["tokens"].clone()
    other[0, 5:] = (other[0, 5:] + 7) % model.vocab_size
    with torch.no_grad():
        torch.testing.assert_close(model.logits(batch), model.logits({**batch, "tokens": other}))
    assert said(model, "mask").override == "model.mask"


def test_a_decoder_that_is_told_the_truth_by_chance_is_told_it_always_and_its_late_logits_are_moved(tmp_path):
    model = bring(tmp_path, "recurrent_translator")
    assert said(model, "teacher forcing").value == "always"
    assert said(model, "order").value == "one position late"
    assert said(model, "batch").value == "time first"
    batch = batch_for(model)
    other = batch["decoder_tokens"].clone()
    other[:, -1] = (other[:, -1] + 1) % 30
    with torch.no_grad():
        before, after = (
            model.logits({**batch, "decoder_tokens": tokens}) for tokens in (batch["decoder_tokens"], other)
        )
    torch.testing.assert_close(before[:, :-1], after[:, :-1])
    assert not torch.equal(before[:, -1], after[:, -1])
    # What follows from the token just read can be learnt, which it could not at the place of the token itself.
    counting = torch.arange(12).repeat(4, 1) + torch.arange(4)[:, None]
    batch |= {"decoder_tokens": counting[:, :-1], "labels": counting[:, 1:]}
    optimizer = torch.optim.Adam(model.module.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_texts_that_are_too_short_for_a_classifier_are_filled_up(tmp_path):
    model = bring(tmp_path, "text_cnn")
    assert said(model, "shortest text").value == "4 tokens"
    one, four = (torch.full((2, length), 7, dtype=torch.int64) for length in (1, 4))
    model.module.eval()
    torch.testing.assert_close(model.logits({"tokens": one}), model.logits({"tokens": four}))
    # Where it is told what is padding, it is told that of what fills up.
    seen = {}
    masked = replace(model.adapter, arguments={"tokens": "", "mask": "mask"}, mask="keep")
    masked.call(lambda tokens, mask: seen.update(mask=mask), {"tokens": one})
    assert seen["mask"].tolist() == [[True, False, False, False]] * 2


def test_what_was_concluded_is_said(tmp_path):
    told = bring(tmp_path, "gpt_dataclass")
    assert told.adapter.arguments == {"tokens": "", "labels": "targets"}
    assert "last position." in said(told, "output").why
    assert told.token_logits(torch.zeros(2, 7, dtype=torch.int64)).shape == (2, 7, 40)
    annotated = bring(tmp_path, "encoder_decoder")
    assert annotated.adapter.head == "generator"
    assert annotated.adapter.extras["tgt_mask"].recipe == "decoder-causal"
    assert said(bring(tmp_path, "word_lstm"), "batch").value == "time first"
    assert said(bring(tmp_path, "word_transformer"), "batch").value == "time first"
    assert said(bring(tmp_path, "lstm_classifier"), "output").value == "probabilities"
    assert bring(tmp_path, "vit_patches").adapter.image == (1, 12, 12)

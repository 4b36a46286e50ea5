import pytest

from tb_widgets.service.fitting import ModelFacts, misfits
from tb_widgets.spec import RunSpec


@pytest.mark.parametrize(
    ("kind", "vocabulary", "expected"),
    [
        ("bpe", 300, {"tokenizer.vocab_size": 300}),
        ("unigram", 300, {"tokenizer.vocab_size": 300}),
        ("unigram", 100, {"tokenizer.vocab_size": 100}),  # it does not start from the 256 bytes
        ("bpe", 65, {"tokenizer.vocab_size": 65}),  # nor does it where it may not have so many
        ("byte", 100, {"tokenizer.kind": "bpe", "tokenizer.vocab_size": 100}),
        ("char", 100, {}),
        ("bpe", 512, {}),
        ("unigram", 512, {}),
    ],
)
def test_what_a_vocabulary_that_is_too_large_gives_way_to(kind, vocabulary, expected):
    spec = RunSpec.model_validate({"tokenizer": {"kind": kind, "vocab_size": 512}})
    found = misfits(spec, ModelFacts("causal-lm", vocab_size=vocabulary))
    assert {misfit.path: misfit.value for misfit in found} == expected


def test_signs_for_what_is_cut_out_of_a_plain_text_need_room_in_the_vocabulary():
    facts = ModelFacts("seq2seq", vocab_size=512)
    spec = RunSpec.model_validate({"tokenizer": {"vocab_size": 512}, "data": {"context_length": 64}})
    kept, replaced = (misfits(spec, facts, chosen=chosen) for chosen in (True, False))
    assert {misfit.path: misfit.value for misfit in kept} == {"tokenizer.vocab_size": 512 - 4 - 3}
    assert {misfit.path: misfit.value for misfit in replaced} == {
        "data.source": "reversed-words",
        "tokenizer.vocab_size": 512 - 4,
    }

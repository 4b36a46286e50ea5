import pytest

from tb_widgets.app.fitting import ModelFacts, misfits
from tb_widgets.spec import RunSpec


@pytest.mark.parametrize(
    ("kind", "vocabulary", "expected"),
    [
        ("bpe", 300, {"tokenizer.vocab_size": 300}),
        ("unigram", 300, {"tokenizer.vocab_size": 300}),
        ("unigram", 100, {"tokenizer.vocab_size": 100}),  # it does not start from the 256 bytes
        ("bpe", 100, {"tokenizer.kind": "char"}),
        ("byte", 100, {"tokenizer.kind": "char"}),
        ("char", 100, {}),
        ("bpe", 512, {}),
        ("unigram", 512, {}),
    ],
)
def test_what_a_vocabulary_that_is_too_large_gives_way_to(kind, vocabulary, expected):
    spec = RunSpec.model_validate({"tokenizer": {"kind": kind, "vocab_size": 512}})
    found = misfits(spec, ModelFacts("causal-lm", vocab_size=vocabulary))
    assert {misfit.path: misfit.value for misfit in found} == expected

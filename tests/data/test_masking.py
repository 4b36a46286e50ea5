"""Which tokens are hidden, and what is asked about them."""

import numpy as np
import pytest
import torch

from tb_widgets.data.batches import masking
from tb_widgets.data.batches.streams import HiddenBatches
from tb_widgets.data.batches.windows import TrainBatches
from tb_widgets.data.keyed_random import key_of
from tb_widgets.data.prepared import prepare
from tb_widgets.spec import DataSpec, TokenizerSpec

VOCABULARY, MASK = 100, 101


def hide(text, key, **ids):
    return {role: torch.from_numpy(rows) for role, rows in masking.hide(text.numpy(), key, **ids).items()}


def batches(seed=1, fingerprint="text", batch_size=8):
    tokens = np.arange(4000, dtype=np.uint16) % VOCABULARY
    key = {"seed": seed, "fingerprint": fingerprint}
    windows = TrainBatches(tokens, context_length=32, batch_size=batch_size, **key)
    hidden = HiddenBatches(
        windows, lambda text, draw: hide(text, draw, vocab_size=VOCABULARY, mask=MASK), batch_size=batch_size, **key
    )
    return hidden, windows


def same(one, other):
    return all(torch.equal(one[role], other[role]) for role in ("tokens", "labels"))


def test_15_in_a_hundred_are_chosen_and_their_fates_are_80_10_10():
    text = torch.randint(VOCABULARY, (200, 128), generator=torch.Generator().manual_seed(0))
    found = [hide(text, key_of(number), vocab_size=VOCABULARY, mask=MASK) for number in range(10)]
    shown, labels = (torch.stack([batch[role] for batch in found]) for role in ("tokens", "labels"))
    chosen, text = labels != -100, text.expand(10, -1, -1)
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.003)
    assert (labels[chosen] == text[chosen]).all()  # the label is what stood there: nothing is shifted
    assert (shown[~chosen] == text[~chosen]).all()
    fates = shown[chosen]
    assert (fates == MASK).float().mean().item() == pytest.approx(0.8, abs=0.01)
    # One random token in a hundred happens to be the one that stood there.
    assert (fates == text[chosen]).float().mean().item() == pytest.approx(0.101, abs=0.01)
    others = fates[(fates != MASK) & (fates != text[chosen])]
    assert others.max() < VOCABULARY
    assert len(others.unique()) == VOCABULARY
    # Each place is chosen as often as any other.
    assert chosen.float().mean((0, 1)).std() < 0.02


def test_a_special_token_is_never_chosen_and_each_row_asks_something():
    text = torch.full((300, 6), MASK)
    text[:, 2] = 7
    batch = hide(text, key_of("key"), vocab_size=VOCABULARY, mask=MASK)
    assert (batch["labels"][:, 2] == 7).all()  # the only one that may be chosen, in every row
    assert (batch["labels"][:, [0, 1, 3, 4, 5]] == -100).all()
    nothing = hide(torch.full((2, 6), MASK), key_of("key"), vocab_size=VOCABULARY, mask=MASK)
    assert (nothing["labels"] == -100).all()
    assert (nothing["tokens"] == MASK).all()


def test_the_choice_follows_from_seed_step_and_text():
    one, windows = batches()
    again, _ = batches()
    later = one.batch(7)
    assert same(again.batch(7), later)  # in any order
    assert same(again.batch(3), one.batch(3))
    shown = torch.where(later["labels"] == -100, later["tokens"], later["labels"])
    assert torch.equal(shown, windows.batch(7)[:, :-1])
    per_pass = int(windows.epoch_steps)
    assert not torch.equal(one.batch(0)["labels"] == -100, one.batch(per_pass)["labels"] == -100)
    for other in (batches(seed=2)[0], batches(fingerprint="other")[0]):
        assert not same(other.batch(7), later)


def test_the_ranks_slices_are_the_batch():
    one, _ = batches()
    slices = [one.batch(5, rank=rank, ranks=4) for rank in range(4)]
    whole = {role: torch.cat([part[role] for part in slices]) for role in ("tokens", "labels")}
    assert same(whole, one.batch(5))


def test_held_back_masks_are_the_same_for_every_seed_and_batch_of_batches(tmp_path, text_file):
    data = DataSpec(source=str(text_file), context_length=24)
    prepared = prepare(data, TokenizerSpec(kind="byte"), task="masked-lm", cache_dir=tmp_path)
    assert prepared.vocab_size == 256 + 2
    one, again = (prepared.validation_batches(batch_size=4, batches=3) for _ in range(2))
    assert len(one) == 3
    assert all(same(*pair) for pair in zip(one, again, strict=True))
    assert torch.cat([batch["tokens"] for batch in one]).max() == 257  # the mask, and nothing above
    assert not torch.equal(one[0]["labels"] == -100, one[1]["labels"] == -100)
    (shown,) = prepared.validation_examples(1)
    assert shown.prompt.count("[MASK]") == 4
    pieces = shown.prompt.split("[MASK]")
    assert len("[MASK]".join(pieces)) - 4 * 6 + 4 == len(shown.expected)  # a byte for each gap
    assert shown.expected.startswith(pieces[0])
    assert shown.expected.endswith(pieces[-1])


@pytest.mark.parametrize("context", [2, 5, 16, 128])
def test_a_shown_sentence_fits_the_context_also_where_tokens_end_inside_characters(tmp_path, context):
    (tmp_path / "text.txt").write_text("世界🦋" * 500, encoding="utf-8")
    data = DataSpec(source=str(tmp_path / "text.txt"), context_length=context)
    prepared = prepare(data, TokenizerSpec(kind="byte"), task="masked-lm", cache_dir=tmp_path)
    for shown in prepared.validation_examples(4):
        pieces = shown.prompt.split("[MASK]")
        assert len(pieces) > 1
        assert sum(len(prepared.tokenizer.encode(piece)) for piece in pieces) + len(pieces) - 1 <= context

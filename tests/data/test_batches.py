import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tb_widgets.data.batches.windows import TrainBatches, validation_batches
from tb_widgets.errors import DataError


def windows(draw_tokens, context_length, batch_size=4, seed=1, fingerprint="text"):
    tokens = np.arange(draw_tokens, dtype=np.uint32)
    return TrainBatches(
        tokens, context_length=context_length, batch_size=batch_size, seed=seed, fingerprint=fingerprint
    )


sizes = {
    "length": st.integers(9, 3000),
    "context": st.integers(2, 8),
    "batch_size": st.integers(1, 12),
    "seed": st.integers(0, 2**32 - 1),
}


@settings(max_examples=60, deadline=None)
@given(**sizes)
def test_each_pass_sees_every_window_once_from_a_new_offset(length, context, batch_size, seed):
    batches = windows(length, context, batch_size, seed)
    passes = 3
    steps = -(-passes * batches.windows // batch_size)
    seen = torch.cat([batches.batch(step) for step in range(steps)]).numpy()
    assert (seen[:, 1:] - seen[:, :1] == np.arange(1, context + 1)).all()  # each window is a stretch of the text
    assert seen.max() < length
    for number in range(passes):
        starts = np.sort(seen[number * batches.windows : (number + 1) * batches.windows, 0])
        assert (np.diff(starts) == context).all()  # each once, neighbours touching
        assert 0 <= starts[0] < 2 * context
        # Of the whole text, less than two windows stay unread in a pass.
        assert length - batches.windows * context < 2 * context + 1


@settings(max_examples=40, deadline=None)
@given(**sizes, order=st.lists(st.integers(0, 5000), min_size=1, max_size=8), data=st.data())
def test_a_step_is_the_same_in_any_order_and_the_ranks_slices_are_the_batch(  # noqa: PLR0917
    length, context, batch_size, seed, order, data
):
    ranks = data.draw(st.sampled_from([n for n in range(1, batch_size + 1) if batch_size % n == 0]))
    one, other = windows(length, context, batch_size, seed), windows(length, context, batch_size, seed)
    first = {step: one.batch(step) for step in order}
    for step in reversed(order):
        whole = torch.cat([other.batch(step, rank=rank, ranks=ranks) for rank in range(ranks)])
        assert torch.equal(whole, first[step])


@pytest.mark.parametrize("length", [33, 34, 64, 65, 66, 95, 96, 97])
def test_every_token_but_the_first_is_a_target_in_some_pass_and_never_twice_in_one(length):
    batches = windows(length, 32, batch_size=1)
    reached = set()
    for number in range(400):
        targets = [
            token
            for step in range(number * batches.windows, (number + 1) * batches.windows)
            for token in batches.batch(step)[0, 1:].tolist()
        ]
        assert len(set(targets)) == len(targets)
        reached.update(targets)
    assert reached == set(range(1, length))


def test_offsets_seeds_and_texts_differ():
    batches = windows(2000, 16, batch_size=10)
    per_pass = batches.windows
    everything = torch.cat([batches.batch(step) for step in range(per_pass)])[:, 0].numpy()
    offsets = [int(everything[n * per_pass : (n + 1) * per_pass].min()) for n in range(10)]
    assert len(set(offsets)) > 4
    first = batches.batch(0)
    assert not torch.equal(first, windows(2000, 16, batch_size=10, seed=2).batch(0))
    assert not torch.equal(first, windows(2000, 16, batch_size=10, fingerprint="other").batch(0))


def test_the_order_looks_random():
    batches = windows(65 * 4000, 64, batch_size=1000)
    order = torch.cat([batches.batch(step) for step in range(3)])[:, 0].double()
    neighbours = torch.corrcoef(torch.stack((order[:-1], order[1:])))[0, 1]
    assert abs(neighbours) < 0.08
    assert abs(order.mean() / (65 * 4000) - 0.5) < 0.03


def test_the_order_is_frozen():
    """A resumed run of an older version must see the batches it would have seen: these figures never change."""
    batches = windows(1000, 8, batch_size=6, seed=42, fingerprint="frozen")
    assert batches.batch(0)[:, 0].tolist() == FROZEN[0]
    assert batches.batch(1000)[:, 0].tolist() == FROZEN[1]


FROZEN = ([670, 622, 286, 94, 574, 814], [389, 277, 165, 965, 29, 597])


def test_batches_are_int64_and_epoch_steps_count_a_pass():
    batches = windows(1000, 9, batch_size=5)
    assert batches.batch(0).dtype == torch.int64
    assert batches.batch(0).shape == (5, 10)
    assert batches.epoch_steps == batches.windows / 5 == 110 / 5


def test_shortest_text_and_one_token_less():
    assert windows(9, 8, batch_size=3).batch(7).tolist() == [list(range(9))] * 3
    with pytest.raises(DataError, match=r"The training text has 8 tokens, but one window needs 9\. Choose a shorter"):
        windows(8, 8)


def test_ranks_must_share_evenly():
    with pytest.raises(
        DataError, match=r"training.batch_size is 4, which 3 processes can't split evenly\. Choose a mul"
    ):
        windows(100, 8).batch(0, rank=0, ranks=3)


@settings(max_examples=60, deadline=None)
@given(length=st.integers(9, 2000), context=st.integers(2, 8), batch_size=st.integers(1, 9), batches=st.integers(1, 9))
def test_validation_windows_are_fixed_spread_and_do_not_overlap(length, context, batch_size, batches):
    tokens = np.arange(length, dtype=np.uint16)
    found = validation_batches(tokens, context_length=context, batch_size=batch_size, batches=batches)
    again = validation_batches(tokens, context_length=context, batch_size=batch_size, batches=batches)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    everything = torch.cat(found)
    available = (length - 1) // context
    assert len(everything) == min(available, batch_size * batches)
    targets = everything[:, 1:].flatten().tolist()
    assert len(set(targets)) == len(targets)
    gaps = np.diff(everything[:, 0].numpy()) if len(everything) > 1 else np.array([context])
    assert gaps.max() - gaps.min() <= context  # evenly spaced
    assert all(len(batch) == batch_size for batch in found[:-1])


def test_validation_text_that_is_too_short():
    with pytest.raises(DataError, match=r"The validation text has 8 tokens, but one window needs 9\."):
        validation_batches(np.arange(8), context_length=8, batch_size=2, batches=2)

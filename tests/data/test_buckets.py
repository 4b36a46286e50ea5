"""Which examples share a batch, and how little of it is padding."""

import numpy as np
import pytest
import torch

from tb_widgets.data.batches import buckets
from tb_widgets.data.batches.buckets import ExampleBatches


def numbers(batch_size=4, seed=1, count=1000):
    lengths = np.arange(count) % 17
    return ExampleBatches(
        lambda found: {"labels": torch.from_numpy(found)}, lengths, batch_size=batch_size, seed=seed, fingerprint="x"
    )


def test_each_pass_sees_every_example_once_in_an_order_that_follows_from_the_step():
    for count in (64, 3, 512):
        batches = numbers(count=count)
        seen = torch.cat([batches.batch(step)["labels"] for step in range(count)])  # four passes
        assert torch.equal(seen.bincount(), torch.full((count,), 4))
    first = torch.cat([numbers(count=64).batch(step)["labels"] for step in range(16)])
    assert len(first.unique()) == 64
    again, steps = numbers(), [numbers().batch(step)["labels"] for step in range(300)]
    assert all(torch.equal(again.batch(step)["labels"], steps[step]) for step in reversed(range(300)))
    assert not torch.equal(numbers(seed=2).batch(0)["labels"], steps[0])


def test_a_batch_holds_examples_of_about_the_same_length_and_short_ones_do_not_come_first():
    batches = [numbers().batch(step)["labels"].numpy() % 17 for step in range(128)]
    assert max(np.ptp(batch) for batch in batches) <= 1
    firsts = [int(batch[0]) for batch in batches]
    assert abs(np.corrcoef(firsts, range(128))[0, 1]) < 0.3


def test_ranks_share_a_batch():
    parts = [numbers().batch(3, rank=rank, ranks=2)["labels"] for rank in (0, 1)]
    assert torch.equal(torch.cat(parts), numbers().batch(3)["labels"])


def test_no_example_is_twice_in_a_batch_of_a_small_set():
    batches = numbers(batch_size=32, count=100)
    assert all(len(batches.batch(step)["labels"].unique()) >= 16 for step in range(60))


def waste(lengths, batch_size):
    """The share of padding in 256 batches."""
    batches = ExampleBatches(
        lambda found: {"labels": torch.from_numpy(lengths[found])},
        lengths,
        batch_size=batch_size,
        seed=3,
        fingerprint="skewed",
    )
    found = torch.stack([batches.batch(step)["labels"] for step in range(256)])
    return 1 - found.sum().item() / (found.amax(1).sum().item() * batch_size)


@pytest.mark.parametrize("spread", [0.6, 0.8, 1.0])
def test_under_8_in_a_hundred_are_padding_where_lengths_are_skewed(spread, monkeypatch):
    lengths = np.random.default_rng(0).lognormal(3.5, spread, 20_000).astype(np.int64).clip(1, 512)
    assert waste(lengths, 32) < 0.08
    monkeypatch.setattr(buckets, "_STEPS_AT_ONCE", 1)
    assert waste(lengths, 32) > 0.6  # as it would be without

"""The order of rows in training: every row once, the same for a seed and an epoch, with like lengths in one batch."""

import random

from planact_train.trainer import SORTED_BATCHES, EpochSampler

DICE = random.Random(1)
LENGTHS = [DICE.randint(50, 900) for _ in range(203)]  # the last batch is not full


def order(seed=0, epoch=0):
    sampler = EpochSampler(8, LENGTHS, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def padded(rows):
    return sum(max(LENGTHS[i] for i in rows[k : k + 8]) * len(rows[k : k + 8]) for k in range(0, len(rows), 8))


def test_every_row_comes_once():
    assert sorted(order()) == list(range(len(LENGTHS)))


def test_seed_and_epoch_alone_decide():
    random.seed(99)
    assert order(3, 1) == order(3, 1)
    assert order(3, 1) != order(3, 2) and order(3, 1) != order(4, 1)


def test_batches_pad_less_than_random_ones_and_stay_mixed():
    rows = order()
    assert padded(rows) < 0.8 * padded(random.Random(0).sample(range(len(LENGTHS)), len(LENGTHS)))
    # Only rows of one group of SORTED_BATCHES batches are sorted together, so short and long batches alternate throughout.
    starts = [LENGTHS[rows[k]] for k in range(0, 8 * SORTED_BATCHES * 6, 8)]
    groups = [starts[g : g + SORTED_BATCHES] for g in range(0, len(starts), SORTED_BATCHES)]
    assert all(max(group) - min(group) > 200 for group in groups)

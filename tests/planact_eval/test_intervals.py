"""Intervals and rates of repeated trials, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact_eval.intervals import cluster_bootstrap, pass_hat_k, wilson

VALUES = st.dictionaries(st.text(max_size=3), st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=5), min_size=1, max_size=6)


def test_pass_hat_k_by_hand():
    # Three of four, and one of four: k=1 (3/4 + 1/4) / 2; k=2 (C(3,2)/C(4,2) + 0) / 2 = (3/6) / 2; k=3 (1/4 + 0) / 2; k=4 nothing.
    counts = [(3, 4), (1, 4)]
    assert [pass_hat_k(counts, k) for k in (1, 2, 3, 4)] == [0.5, 0.25, 0.125, 0.0]
    assert pass_hat_k([(4, 4)], 4) == 1.0


@pytest.mark.parametrize(("counts", "k"), [([], 1), ([(1, 2), (1, 1)], 2), ([(1, 2)], 0)])
def test_pass_hat_k_needs_k_episodes_of_every_task(counts, k):
    with pytest.raises(ValueError, match="needs .* episodes of every task"):
        pass_hat_k(counts, k)


def test_clusters_that_agree_make_the_interval_wider_than_independent_trials():
    # 20 templates of 5 tasks, half of them solved throughout: as good as 20 trials, not 100.
    low, high = cluster_bootstrap({str(n): [float(n % 2)] * 5 for n in range(20)})
    independent = wilson(50, 100)
    assert low < independent[0] < 0.5 < independent[1] < high
    # The mean of 20 fair draws has a standard deviation of sqrt(0.25 / 20) = 0.1118, so 1.96 of them on each side are 0.219.
    assert (0.5 - low, high - 0.5) == (pytest.approx(0.219, abs=0.04), pytest.approx(0.219, abs=0.04))


def test_the_bootstrap_repeats_itself_and_needs_a_value():
    values = {"a": [1.0, 0.0], "b": [1.0], "c": []}
    assert cluster_bootstrap(values, seed=3) == cluster_bootstrap(values, seed=3)
    with pytest.raises(ValueError, match="no value"):
        cluster_bootstrap({"c": []})


@given(VALUES)
def test_the_bootstrap_stays_within_the_values(values):
    low, high = cluster_bootstrap(values, draws=50)
    means = [sum(cluster) / len(cluster) for cluster in values.values()]
    assert min(means) <= low <= high <= max(means)

"""Measures of agreement and calibration, by hand and between their bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact_eval.agreement import BINS, accuracy, brier, calibration_error, confusion, detection, kappa, reliability

# 50 grant proposals that two readers judged: both yes 20, only the first 5, only the second 10, both no 15.
READERS = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15


def test_kappa_takes_chance_off():
    # p_o = 35 / 50 = 0.7; p_e = 25/50 * 30/50 + 25/50 * 20/50 = 0.3 + 0.2 = 0.5; (0.7 - 0.5) / (1 - 0.5) = 0.4
    assert accuracy(READERS) == 0.7 and kappa(READERS) == pytest.approx(0.4)
    assert kappa([("a", "a"), ("b", "b")]) == 1
    assert kappa([("a", "b"), ("b", "a")]) == -1  # p_o = 0, p_e = 0.5


def test_kappa_is_not_defined_where_chance_always_agrees():
    assert kappa([("a", "a")] * 3) is None and kappa([]) is None and accuracy([]) is None


def test_rows_are_what_is_known_and_columns_what_is_said():
    assert confusion(READERS, ["yes", "no", "maybe"]) == [[20, 5, 0], [10, 15, 0], [0, 0, 0]]


def test_precision_and_recall_are_of_solved():
    found = detection([(True, True)] * 6 + [(False, True)] * 2 + [(True, False)] * 3 + [(False, False)])
    assert (found.tp, found.fp, found.fn, found.tn) == (6, 2, 3, 1)
    assert found.precision == 6 / 8 and found.recall == 6 / 9 and found.f1 == 12 / 17  # 2 * 6 / (2 * 6 + 2 + 3)


def test_what_nothing_counts_for_has_no_rate():
    nobody = detection([(False, False)])
    assert (nobody.precision, nobody.recall, nobody.f1) == (None, None, None)
    assert detection([(True, False)]).precision is None and detection([(True, False)]).f1 == 0
    assert brier([]) is None and calibration_error([]) is None


TOLD = [(True, 0.95), (True, 0.85), (False, 0.85), (False, 0.05)]


def test_brier_is_the_mean_square():
    # 0.05² + 0.15² + 0.85² + 0.05² = 0.0025 + 0.0225 + 0.7225 + 0.0025 = 0.75; / 4
    assert brier(TOLD) == pytest.approx(0.1875)
    assert brier([(True, 0.5), (False, 0.5)]) == 0.25 and brier([(True, 1.0)]) == 0


def test_the_calibration_error_weighs_each_bin_by_its_episodes():
    # [0, 0.1): |0 - 0.05| * 1/4; [0.8, 0.9): |0.5 - 0.85| * 2/4; [0.9, 1]: |1 - 0.95| * 1/4 = 0.0125 + 0.175 + 0.0125
    assert calibration_error(TOLD) == pytest.approx(0.2)
    table = reliability(TOLD)
    assert len(table) == BINS == 10 and [one.count for one in table] == [1, 0, 0, 0, 0, 0, 0, 0, 2, 1]
    assert (table[8].low, table[8].high, table[8].told, table[8].solved) == (0.8, 0.9, pytest.approx(0.85), 0.5)
    assert table[1].told is None and table[1].solved is None


def test_one_is_in_the_last_bin_and_a_bound_in_the_upper_one():
    assert [one.count for one in reliability([(True, 1.0), (True, 0.5)])] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 1]


verdicts = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1)


@given(verdicts)
def test_kappa_lies_between_minus_one_and_one_and_never_above_accuracy(pairs):
    value = kappa(pairs)
    assert value is None or -1 <= value <= accuracy(pairs) + 1e-12
    assert sum(map(sum, confusion(pairs, "abc"))) == len(pairs)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1))
def test_every_probability_is_in_one_bin_and_errors_lie_between_0_and_1(told):
    assert sum(one.count for one in reliability(told)) == len(told)
    assert 0 <= calibration_error(told) <= 1 and 0 <= brier(told) <= 1

"""What the questions of all kinds have in common."""

import pytest

from planact.teaching import AnswerError, teaching_hash


def test_the_questions_have_an_identity():
    assert teaching_hash() == teaching_hash() and len(teaching_hash()) == 16


@pytest.mark.parametrize("reason, counted", [("", "no plan found"), ("format", "format")])
def test_a_rejection_is_counted_by_its_reason(reason, counted):
    error = AnswerError("no plan found", reason)
    assert (str(error), error.reason) == ("no plan found", counted)

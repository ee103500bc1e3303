"""Values in texts, and whether another text shows them."""

import pytest

from planact_data.values import plain, shows, values_in


@pytest.mark.parametrize(
    "text, values",
    [
        ("Search for 'Tee Kettle' now.", {"Tee Kettle"}),
        ('Find "Tee" and “Pot”, ‘Cup’ or `cat`.', {"Tee", "Pot", "Cup", "cat"}),
        ("Don't open the customers' list of 12.", {"12"}),
        ("Order #1279 of $19.99, or 7.", {"#1279", "$19.99", "7"}),
        ("Set it to '289' or TRK-93505.", {"289", "TRK-93505"}),
        ("Nothing at all.", set()),
    ],
)
def test_quoted_texts_and_words_with_digits_are_values(text, values):
    assert values_in(text) == values


def test_short_numbers_can_be_left_out_where_they_have_no_quotes():
    assert values_in("The 2 newest of '7' in 2024, 12:30 and A1", 3) == {"7", "2024", "12:30"}


@pytest.mark.parametrize(
    "text, value, found",
    [
        ("12 pieces", "12", True),
        ("it costs $12.", "12", True),
        ("it costs 12", "$12", True),
        ("120 pieces", "12", False),
        ("12.50 each", "12", False),
        ("1.12 each", "12", False),
        ("the TEE kettle", "Tee Kettle", True),
        ("the tee kettles", "Tee Kettle", False),
        ("1,200 pieces", "1200", True),
        ("1200 pieces", "1,200", True),
        ("Ines’s cart", "Ines's", True),
    ],
)
def test_a_value_is_shown_as_a_whole(text, value, found):
    assert shows(plain(text), value) is found

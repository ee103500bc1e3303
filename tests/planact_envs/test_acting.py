"""What is said of an action that cannot be carried out has a bounded length, whatever the page holds."""

import pytest

from planact_envs.acting import OPTIONS, SHOWN, ActionFailed, choice, node_of, text_field
from planact_envs.page import read_html

LONG = "x" * 10_000


def said(check, *arguments):
    with pytest.raises(ActionFailed) as failure:
        check(*arguments)
    return str(failure.value)


def test_of_many_options_the_first_are_named():
    page = read_html(f"<select aria-label=City>{''.join(f'<option>Town {n}</option>' for n in range(3000))}</select>")
    message = said(choice, page, "1", "Paris")
    assert message.startswith("'City' has no option 'Paris'; it has Town 0, Town 1, ")
    assert message.endswith(f", Town {OPTIONS - 1} and {3000 - OPTIONS} more")


def test_a_few_options_are_all_named():
    page = read_html("<select aria-label=Size><option>Small</option><option>Large</option></select>")
    assert said(choice, page, "1", "Tiny") == "'Size' has no option 'Tiny'; it has Small, Large"


def test_long_names_are_cut():
    page = read_html(f"<select aria-label=City><option>{LONG}</option></select><button disabled>{LONG}</button>")
    messages = [said(choice, page, "1", LONG + "y"), said(node_of, page, "2"), said(node_of, page, LONG), said(text_field, page, "1")]
    assert max(map(len, messages)) < 3 * SHOWN

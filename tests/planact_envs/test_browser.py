"""The text browser on the small application of conftest.py: every operation, forms, history and tabs."""

import pytest

from planact.types import Op
from planact_envs.acting import ActionFailed
from planact_envs.miniweb.browser import MAX_REDIRECTS
from planact_envs.miniweb.database import rows

HOME = "http://test.site/"


async def test_click_follows_links(visitor):
    await visitor.do(Op.CLICK, "Two")
    assert (visitor.path, visitor.text) == ("/two", ["link 'Home' [1]", "two"])
    await visitor.do(Op.CLICK, "Home")
    await visitor.do(Op.CLICK, "Three")
    assert visitor.path == "/folder/three?x=1&y=2#part"
    await visitor.do(Op.CLICK, "Four")  # relative to the folder
    assert (visitor.path, visitor.text) == ("/folder/four", ["four"])


async def test_a_link_to_another_site_of_the_environment_is_followed(visitor):
    await visitor.do(Op.CLICK, "Other")
    assert visitor.browser.tab.url == "http://other.site/"


async def test_a_redirect_ends_at_its_target(visitor):
    await visitor.do(Op.CLICK, "Hop")
    assert visitor.path == "/two" and visitor.browser.tab.history == [HOME, "http://test.site/two"]
    await visitor.do(Op.GOTO, text="/hops/1#part")
    assert visitor.path == "/two#part"
    await visitor.do(Op.GOTO, text=f"/hops/{MAX_REDIRECTS - 1}")  # and one from the last hop to /two
    assert visitor.path == "/two"


async def test_a_missing_page_is_a_page(visitor):
    await visitor.do(Op.CLICK, "Missing")
    assert (visitor.path, visitor.text) == ("/nope", ["Gone"])
    await visitor.do(Op.BACK)
    assert visitor.path == "/"


URLS = [("http://test.site/two", "/two"), ("/two", "/two"), ("two", "/two"), ("HTTP://TEST.site/two", "/two")]
URLS += [("/echo?q=ü b", "/echo?q=%C3%BC%20b"), ("?a=1", "/?a=1"), ("/two?", "/two?"), ("", "/")]


@pytest.mark.parametrize("url, path", URLS)
async def test_goto(visitor, url, path):
    await visitor.do(Op.GOTO, text=url)
    assert visitor.path == path


async def test_a_form_sends_what_its_fields_hold(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.CLICK, "Go")
    plain = ["h=1", "t=old", "a=one two", "e=x", "s=2", "n=", "c=on", "r=1", "r=", "go=first"]
    assert visitor.text == plain  # not: nameless, disabled, unchecked, file and the buttons not pressed


async def test_a_form_sends_what_was_done_to_its_fields(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.TYPE, "Text", "a&b=c ü")
    await visitor.do(Op.TYPE, "Area", "")
    await visitor.do(Op.SELECT, "Size", "huge")
    await visitor.do(Op.CLICK, "C")
    await visitor.do(Op.CLICK, "D")
    await visitor.do(Op.CLICK, "R2")
    await visitor.do(Op.TYPE, "R", "typed")
    await visitor.do(Op.CLICK, "Other")
    assert visitor.text == ["h=1", "t=a&b=c ü", "a=", "e=x", "s=Huge size", "n=", "c=yes", "r=2", "r=typed", "go=second"]


async def test_what_was_done_is_shown(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.TYPE, "Text", "new")
    await visitor.do(Op.TYPE, "Text", "newer")
    await visitor.do(Op.CLICK, "C")
    assert visitor.node("Text").value == "newer" and visitor.node("C").states == ("checked",)
    await visitor.do(Op.CLICK, "C")
    assert visitor.node("C").states == ()


async def test_a_radio_button_unchecks_its_group_and_nothing_else(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.TYPE, "R", "text of the same name")
    await visitor.do(Op.CLICK, "R2")
    assert [visitor.node(name).states for name in ("R1", "R2", "R3")] == [(), ("checked",), ("checked",)]
    assert visitor.node("R").value == "text of the same name"


@pytest.mark.parametrize("wanted, chosen", [("Small", "Small"), (" large ", "Large"), ("HUGE", "Huge size"), ("l", "Small")])
async def test_select_takes_the_label_or_a_part_of_it(visitor, wanted, chosen):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.SELECT, "Size", wanted)
    assert visitor.node("Size").value == chosen


async def test_an_unknown_option_lists_the_options(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    with pytest.raises(ActionFailed, match="'Size' has no option 'Tiny'; it has Small, Large, Huge size"):
        await visitor.do(Op.SELECT, "Size", "Tiny")


async def test_enter_in_a_field_presses_the_first_button(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.SEARCH, "Text", "x")
    assert visitor.text[1] == "t=x" and visitor.text[-1] == "go=first"
    await visitor.do(Op.BACK)
    await visitor.do(Op.TYPE, "Text", "y")
    await visitor.do(Op.PRESS, text="Enter")
    assert visitor.text[1] == "t=y" and visitor.text[-1] == "go=first"
    await visitor.do(Op.BACK)
    await visitor.do(Op.CLICK, "Text")  # focuses
    await visitor.do(Op.PRESS, text="enter")
    assert visitor.text[1] == "t=y"  # a page from the history still holds what was typed


async def test_enter_is_a_line_break_in_a_textarea_and_submits_nothing(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.SEARCH, "Area", "new")
    await visitor.do(Op.PRESS, text="Enter")
    assert visitor.path == "/fields" and visitor.node("Area").value == "new\n\n"


async def test_enter_in_a_combobox_only_opens_its_list(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.CLICK, "Size")
    before = visitor.everything()
    await visitor.do(Op.PRESS, text="Enter")
    assert visitor.everything() == before


async def test_enter_submits_a_form_without_a_button_only_from_its_single_field(visitor):
    await visitor.do(Op.GOTO, text="/bare")
    await visitor.do(Op.SEARCH, "First", "x")
    assert visitor.path == "/bare"
    await visitor.do(Op.SEARCH, "Single", "y")
    assert visitor.path == "/echo?s=y"


async def test_a_form_without_named_fields_leaves_a_question_mark(visitor):
    await visitor.do(Op.GOTO, text="/bare")
    await visitor.do(Op.CLICK, "Empty")
    assert visitor.path == "/two?"


async def test_a_line_break_typed_into_one_line_is_a_space(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.TYPE, "Text", "a\nb\r\nc")
    assert visitor.node("Text").value == "a b c"


async def test_going_back_shows_what_fields_held(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    await visitor.do(Op.TYPE, "Area", "new")
    await visitor.do(Op.SELECT, "Size", "Small")
    for box in ("C", "D", "R2"):
        await visitor.do(Op.CLICK, box)
    before = visitor.text
    await visitor.do(Op.CLICK, "Go")
    await visitor.do(Op.BACK)
    assert visitor.text == before
    await visitor.do(Op.FORWARD)
    await visitor.do(Op.BACK)
    assert visitor.text == before
    await visitor.do(Op.GOTO, text="/two")
    await visitor.do(Op.GOTO, text="/fields")
    assert visitor.text != before  # a page that is opened anew is fresh


async def test_a_link_to_the_page_itself_is_no_place_in_the_history(visitor):
    await visitor.do(Op.GOTO, text="/two")
    await visitor.do(Op.GOTO, text="/two")
    await visitor.do(Op.BACK)
    assert visitor.path == "/"


async def test_other_keys_and_enter_without_focus_do_nothing(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    before = visitor.everything()
    await visitor.do(Op.PRESS, text="Enter")
    assert visitor.everything() == before
    await visitor.do(Op.CLICK, "Text")
    before = visitor.everything()
    await visitor.do(Op.PRESS, text="Tab")
    assert visitor.everything() == before


@pytest.mark.parametrize("name", ["Plain", "Idle"])
async def test_a_button_that_submits_no_form_does_nothing(visitor, name):
    if name == "Plain":
        await visitor.do(Op.GOTO, text="/fields")
    visitor.browser.tab.focus = visitor.id(name)
    before = visitor.everything()
    await visitor.do(Op.CLICK, name)
    assert visitor.everything() == before


async def test_a_reset_button_restores_its_form(visitor):
    await visitor.do(Op.GOTO, text="/fields")
    before = visitor.text
    await visitor.do(Op.TYPE, "Text", "x")
    await visitor.do(Op.CLICK, "C")
    await visitor.do(Op.CLICK, "Reset")
    assert visitor.text == before and visitor.path == "/fields"


async def test_post(visitor):
    await visitor.do(Op.GOTO, text="/forms")
    await visitor.do(Op.TYPE, "Note", "a b&c")
    await visitor.do(Op.CLICK, "Save")
    assert visitor.path == "/two" and rows(visitor.db, "SELECT text FROM note") == [{"text": "note=a+b%26c"}]
    await visitor.do(Op.BACK)
    assert visitor.node("Note").value == "a b&c"
    await visitor.do(Op.SEARCH, "Print", "x")
    assert visitor.text == ["POST note=x"]


async def test_a_form_without_action_submits_to_its_page(visitor):
    await visitor.do(Op.GOTO, text="/forms?old=1")
    await visitor.do(Op.SEARCH, "Same", "new")
    assert visitor.path == "/forms?q=new"


async def test_history(visitor):
    await visitor.do(Op.CLICK, "Two")
    await visitor.do(Op.GOTO, text="/folder/three")
    await visitor.do(Op.BACK)
    await visitor.do(Op.BACK)
    assert visitor.path == "/"
    await visitor.do(Op.FORWARD)
    assert visitor.path == "/two"
    await visitor.do(Op.CLICK, "Home")  # what lay ahead is forgotten
    assert visitor.browser.tab.history == [HOME, "http://test.site/two", HOME]
    with pytest.raises(ActionFailed, match="no page to go forward to"):
        await visitor.do(Op.FORWARD)
    await visitor.do(Op.BACK)
    assert visitor.path == "/two"


async def test_tabs_have_their_own_page_history_and_fields(visitor):
    await visitor.do(Op.TYPE, "Lone", "mine")
    await visitor.do(Op.NEW_TAB)
    assert (visitor.browser.tab.url, visitor.text, visitor.browser.current) == ("about:blank", [], 1)
    with pytest.raises(ActionFailed, match="this page has no elements"):
        await visitor.do(Op.CLICK, "1")
    await visitor.do(Op.GOTO, text="http://test.site/two")
    with pytest.raises(ActionFailed, match="no page to go back to"):
        await visitor.do(Op.BACK)
    await visitor.do(Op.TAB_FOCUS, text="0")
    assert visitor.path == "/" and visitor.node("Lone").value == "mine"
    await visitor.do(Op.NEW_TAB)
    await visitor.do(Op.TAB_FOCUS, text="1")
    await visitor.do(Op.CLOSE_TAB)
    assert [tab.url for tab in visitor.browser.tabs] == [HOME, "about:blank"] and visitor.path == "/"
    await visitor.do(Op.CLOSE_TAB)
    assert visitor.browser.tab.url == "about:blank"


async def test_closing_a_tab_shows_the_one_before_it(visitor):
    for path in ("two", "folder/three", "folder/four"):
        await visitor.do(Op.NEW_TAB)
        await visitor.do(Op.GOTO, text=HOME + path)
    await visitor.do(Op.CLOSE_TAB)
    assert visitor.path == "/folder/three"
    await visitor.do(Op.TAB_FOCUS, text="1")
    await visitor.do(Op.CLOSE_TAB)
    assert visitor.path == "/"


@pytest.mark.parametrize("op, name", [(Op.HOVER, "Two"), (Op.SCROLL, ""), (Op.NOTE, "")])
async def test_what_changes_nothing(visitor, op, name):
    before = visitor.everything()
    await visitor.do(op, name, "down")
    assert visitor.everything() == before


async def test_fetch_touches_no_tab(visitor):
    before = visitor.everything()
    assert "two" in await visitor.browser.fetch("http://test.site/two")
    assert visitor.everything() == before

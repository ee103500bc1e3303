"""Actions that cannot be carried out: the text browser says why, and nothing has changed."""

import re

import pytest

from planact.types import FINAL_OPS, Op
from planact_envs.acting import ActionFailed
from planact_envs.miniweb.browser import MAX_REDIRECTS

FAILURES = [  # start page, op, element, text, message
    ("/", Op.CLICK, "99", "", "no element '99' on this page; it has elements 1 to 16"),
    ("/", Op.CLICK, "", "", "no element ''"),
    ("/two", Op.HOVER, "Nobody", "", "no element 'Nobody'"),
    ("/", Op.CLICK, "Off", "", "button 'Off' is disabled"),
    ("/fields", Op.TYPE, "Fixed", "x", "textbox 'Fixed' is disabled"),
    ("/", Op.TYPE, "Two", "x", "link 'Two' is not a text field"),
    ("/fields", Op.SEARCH, "Size", "x", "combobox 'Size' is not a text field"),
    ("/fields", Op.SELECT, "Text", "x", "textbox 'Text' has no options"),
    ("/fields", Op.SELECT, "Size", "", "no option ''; it has Small"),
    ("/fields", Op.SELECT, "None", "x", "no option 'x'"),
    ("/", Op.CLICK, "Evil", "", "'http://evil.example/' is outside this environment; its sites are other.site, test.site"),
    ("/", Op.CLICK, "Mail", "", "'mailto:a@b.c' is outside"),
    ("/", Op.CLICK, "Script", "", "is outside"),
    ("/", Op.CLICK, "Secure", "", "'https://test.site/' is outside"),
    ("/", Op.CLICK, "Leave", "", "'http://evil.example/two' is outside"),
    ("/", Op.CLICK, "Broken", "", "'http://\\[' could not be opened: Invalid IPv6 URL"),
    ("/", Op.CLICK, "Loop", "", "/loop' could not be opened: it redirects more than 10 times"),
    ("/", Op.GOTO, "", f"/hops/{MAX_REDIRECTS}", "redirects"),
    ("/", Op.GOTO, "", "file:///etc/passwd", "is outside"),
    ("/", Op.GOTO, "", "http://test.site:8080/", "is outside"),
    ("/", Op.GOTO, "", "http://test.site@evil.example/", "is outside"),
    ("/", Op.GOTO, "", "http://test.site:port/", "could not be opened: Invalid port"),
    ("/", Op.GOTO, "", "/\ud800", "could not be opened: .* surrogates not allowed"),
    ("/", Op.GOTO, "", "/" + "x" * 70_000, "x[.]{3}' could not be opened: URL too long"),
    ("/forms", Op.SEARCH, "Same", "x" * 70_000, "too long"),
    ("/forms", Op.SEARCH, "Same", "\ud800", "surrogates not allowed"),
    ("/forms", Op.SEARCH, "Note", "\ud800", "surrogates not allowed"),
    ("/forms", Op.SEARCH, "Away", "x", "'http://evil.example/save' is outside"),
    ("/forms", Op.SEARCH, "Looping", "x", "redirects"),
    ("/", Op.FORWARD, "", "", "no page to go forward to"),
    ("/", Op.TAB_FOCUS, "", "1", "there is no tab '1'; tabs are 0 to 0"),
    ("/", Op.TAB_FOCUS, "", "-1", "no tab"),
    ("/", Op.TAB_FOCUS, "", "", "no tab"),
    ("/", Op.TAB_FOCUS, "", "²", "no tab"),
    ("/", Op.TAB_FOCUS, "", "9" * 5000, "no tab"),
    ("/", Op.CLOSE_TAB, "", "", "the last tab cannot be closed"),
    *[("/", op, "", "", f"{op} is not an action on a page") for op in sorted(FINAL_OPS)],
]


@pytest.mark.parametrize("start, op, name, text, message", FAILURES, ids=[f"{f[1]}-{i}" for i, f in enumerate(FAILURES)])
async def test_a_failed_action_says_why_and_changes_nothing(visitor, start, op, name, text, message):
    await visitor.do(Op.GOTO, text=start)
    if field := {"/fields": "Text", "/forms": "Same"}.get(start):
        await visitor.do(Op.TYPE, field, "typed before")
    before = visitor.everything()
    with pytest.raises(ActionFailed) as caught:
        await visitor.do(op, name, text)
    assert re.search(message, str(caught.value)), caught.value
    assert len(str(caught.value)) < 600
    assert visitor.everything() == before

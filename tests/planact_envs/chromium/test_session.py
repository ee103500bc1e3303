"""Acting on pages with scripts: what is read, what is clicked, what is said when it cannot be."""

import asyncio

import pytest
from starlette.responses import Response

from planact.types import Action, Op
from planact_envs.chromium import session

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

FIELDS = """<title> A  title </title><input title=Text value=old oninput="heard.textContent = value"><input type=date title=Day>
    <textarea title=Area></textarea>
    <select title=Size onchange="heard.textContent = value"><option value=1>Small<option value=2>Large</select>
    <input type=checkbox title=Box><div contenteditable aria-label=Editor>text</div><p id=heard></p>"""
MADE = """<div id=a>By listener</div><span onclick="said.textContent = 'span'">By attribute</span><b role=button>By role</b>
    <i style="cursor:pointer">By cursor</i><div onclick=""><a href=/>Inner</a></div><p id=said></p>
    <script>a.addEventListener('click', () => said.textContent = 'listener')</script>"""
TREES = """<div id=host></div><iframe src=/frame></iframe><p id=said></p><script>
    host.attachShadow({mode: 'open'}).innerHTML = '<button>Shadow</button><slot></slot>';
    host.shadowRoot.querySelector('button').onclick = () => said.textContent = 'from the shadow'</script>"""
TRAPS = """<button disabled>Off</button><fieldset disabled><button>Off too</button></fieldset>
    <button style="width:0;height:0;padding:0;border:0;overflow:hidden;position:absolute">Nothing</button>
    <div style="position:relative"><button>Below</button><div style="position:absolute;inset:0">Cover</div></div>
    <p style="display:none">unseen</p><p style="visibility:hidden">unseen</p><button onclick="this.remove()">Once</button>
    <button id=gone>Gone</button><button onclick="gone.remove()">Remove</button>"""


async def test_fields_hold_what_was_typed_and_chosen_and_the_page_hears_of_it(visitor, site):
    site.pages["/"] = FIELDS
    await visitor.open()
    assert visitor.seen.title == "A title"
    assert await visitor.do(Op.TYPE, "Text", "new words") == "" and visitor.text[-1] == "new words"
    assert await visitor.do(Op.TYPE, "Text", "") == "" and visitor.node("Text").value == ""
    assert await visitor.do(Op.TYPE, "Day", "2026-05-01") == "" and visitor.node("Day").value == "2026-05-01"
    assert await visitor.do(Op.TYPE, "Area", "two\nlines") == "" and visitor.node("Area").value == "two\nlines"
    assert await visitor.do(Op.TYPE, "Editor", "other") == "" and visitor.node("Editor").value == "other"
    assert await visitor.do(Op.SELECT, "Size", "large") == "" and visitor.text[-1] == "2"
    assert await visitor.do(Op.CLICK, "Box") == "" and visitor.node("Box").states == ("checked",)


async def test_what_scripts_made_clickable_has_an_id(visitor, site):
    site.pages["/"] = MADE
    await visitor.open()
    names = [node.name for node in visitor.session.tab.page.nodes.values() if node.role == "clickable"]
    assert names == ["By listener", "By attribute", "By role", "By cursor"]
    assert await visitor.do(Op.CLICK, "By listener") == "" and visitor.text[-1] == "listener"
    assert await visitor.do(Op.CLICK, "By attribute") == "" and visitor.text[-1] == "span"


async def test_shadow_trees_and_frames_of_the_site_are_part_of_the_page(visitor, site):
    site.pages |= {"/": TREES, "/frame": "<button onclick=\"parent.said.textContent = 'from the frame'\">Frame</button>"}
    await visitor.open()
    assert await visitor.do(Op.CLICK, "Shadow") == "" and "from the shadow" in visitor.text
    assert await visitor.do(Op.CLICK, "Frame") == "" and "from the frame" in visitor.text


async def test_what_cannot_be_done_is_said_in_different_words(visitor, site):
    site.pages["/"] = TRAPS
    await visitor.open()
    assert "unseen" not in visitor.seen.text
    assert await visitor.do(Op.CLICK, "99") == "no element '99' on this page; it has elements 1 to 7"
    assert await visitor.do(Op.TYPE, "Below", "x") == "button 'Below' is not a text field"
    assert await visitor.do(Op.SELECT, "Below", "x") == "button 'Below' has no options"
    assert await visitor.do(Op.CLICK, "Off") == "button 'Off' is disabled"
    assert await visitor.do(Op.CLICK, "Off too") == "button 'Off too' is disabled"
    assert await visitor.do(Op.CLICK, "Nothing") == "button 'Nothing' is not visible"
    assert await visitor.do(Op.CLICK, "Below") == "button 'Below' is covered by another element (div)"
    assert await visitor.do(Op.PRESS, text="NoSuchKey") == "there is no key 'NoSuchKey'"
    assert await visitor.do(Op.BACK) == "there is no page to go back to"
    await visitor.session.page.evaluate("gone.remove()")  # by itself, after the agent has seen the page
    assert await visitor.do(Op.CLICK, "Gone") == "button 'Gone' is no longer on the page; look at the page again"
    assert await visitor.do(Op.CLICK, "Once") == "" and "Once" not in visitor.seen.text


async def leave(visitor, path):
    """The page goes elsewhere by itself, and has not arrived."""
    await visitor.session.page.evaluate(f"() => {{ setTimeout(() => location = {path!r}, 0) }}")
    await visitor.session.tab.leaving.wait()


async def test_a_page_that_was_leaving_is_waited_for_and_the_agent_is_told(visitor, site):
    async def slow(scope):
        await asyncio.sleep(0.5)
        return "<p>the other page</p>"

    site.pages |= {"/": "<button>Go</button>", "/slow": slow}
    await visitor.open()
    await leave(visitor, "/slow")
    assert await visitor.do(Op.CLICK, "Go") == "the page was leaving for another one before the action was done; look at the page again"
    assert "the other page" in visitor.seen.text


async def test_a_page_that_was_leaving_for_one_that_never_comes_stays_and_says_why(visitor, site):
    async def never(scope):
        await asyncio.sleep(60)

    site.pages |= {"/": "<button>Go</button>", "/never": never}
    await visitor.open()
    await leave(visitor, "/never")
    said = await visitor.do(Op.CLICK, "Go")
    assert "/never' could not be opened: the site did not answer within 6 s; the page was leaving for another one" in said
    assert "Go" in visitor.seen.text and await visitor.do(Op.CLICK, "Go") == ""


async def test_dialogs_are_dismissed_and_told(visitor, site):
    site.pages["/"] = "<button onclick=\"document.title = confirm('Sure?')\">Ask</button><button onclick=\"alert('Hi')\">Tell</button>"
    await visitor.open()
    assert await visitor.do(Op.CLICK, "Ask") == "the page opened a dialog (confirm): 'Sure?'; it was dismissed"
    assert visitor.seen.title == "false"
    assert "(alert): 'Hi'" in await visitor.do(Op.CLICK, "Tell")
    assert await visitor.do(Op.HOVER, "Ask") == ""  # told once


async def test_long_words_of_a_page_are_cut_in_what_is_told(visitor, site):
    site.pages["/file"] = Response("x", headers={"Content-Disposition": f"attachment; filename={'n' * 240}.txt"})
    site.pages["/"] = "<button onclick=\"alert('Hi '.repeat(5000))\">Tell</button><a href=/file>File</a>"
    await visitor.open()
    assert len(await visitor.do(Op.CLICK, "Tell")) < 300
    assert await visitor.do(Op.CLICK, "File") == f"the download of '{'n' * 200}...' was refused"


async def test_a_page_that_asks_before_it_is_left_stays(visitor, site):
    site.pages |= {"/": "<a href=/two>Two</a><button onclick=\"onbeforeunload = () => 'no'\">Guard</button>", "/two": "<p>Two</p>"}
    await visitor.open()
    await visitor.do(Op.CLICK, "Guard")
    assert "dialog (beforeunload)" in await visitor.do(Op.CLICK, "Two") and visitor.seen.url == "http://shop.test/"
    assert await visitor.do(Op.NEW_TAB) == "" and await visitor.open("/two") == ""


async def test_downloads_are_refused(visitor, site):
    site.pages["/file"] = Response("x", headers={"Content-Disposition": "attachment; filename=a.txt"})
    site.pages["/"] = "<a href=/file>File</a>"
    await visitor.open()
    assert await visitor.do(Op.CLICK, "File") == "the download of 'a.txt' was refused" and visitor.seen.url == "http://shop.test/"


async def test_a_step_tells_what_a_page_did_although_it_changed(visitor, site):
    site.pages["/file"] = Response("x", headers={"Content-Disposition": "attachment; filename=a.txt"})
    site.pages["/"] = (
        "<button onclick=\"p.textContent = 'after'; alert('No such order')\">Tell</button>"
        "<a href=/file onclick=\"p.textContent = 'file'\">File</a><p id=p>before</p>"
    )
    await visitor.open()
    told = await visitor.session.step(Action(Op.CLICK, visitor.id("Tell")), visitor.seen)
    assert told.text != visitor.seen.text and told.error == "the page opened a dialog (alert): 'No such order'; it was dismissed"
    refused = await visitor.session.step(Action(Op.CLICK, visitor.id("File")), told)
    assert refused.text != told.text and refused.error == "the download of 'a.txt' was refused"


async def test_a_step_tells_that_a_page_goes_on_loading_only_if_nothing_changed(visitor, site):
    async def never(scope):
        await asyncio.sleep(60)

    site.pages |= {"/": "<button onclick=\"p.textContent = 'after'; fetch('/never')\">Go</button><p id=p>before</p>", "/never": never}
    await visitor.open()
    go = Action(Op.CLICK, visitor.id("Go"))
    changed = await visitor.session.step(go, visitor.seen)
    assert "after" in changed.text and changed.error == ""
    assert (await visitor.session.step(go, changed)).error == "the page was still waiting for a request after 4 s"


async def test_permissions_are_denied(visitor, site):
    site.pages["/"] = "<p>Page</p>"
    await visitor.open()
    ask = "name => navigator.permissions.query({name}).then(answer => answer.state)"
    assert {await visitor.session.page.evaluate(ask, name) for name in ("geolocation", "notifications")} == {"denied"}


async def test_windows_that_a_page_opens_are_tabs(visitor, site, monkeypatch):
    monkeypatch.setattr(session, "MAX_TABS", 3)
    many = "for (let i = 0; i < 3; i++) window.open('/two')"
    site.pages |= {"/": f'<a href=/two target=_blank>Blank</a><button onclick="{many}">Many</button>', "/two": "<p>Two</p>"}
    await visitor.open()
    assert await visitor.do(Op.CLICK, "Blank") == ""
    assert visitor.seen.tabs == ("http://shop.test/", "http://shop.test/two") and visitor.text == ["Two"]
    assert await visitor.do(Op.TAB_FOCUS, text="0") == "" and visitor.seen.url == "http://shop.test/"
    assert await visitor.do(Op.CLICK, "Many") == "a new tab was refused: 3 are open" and len(visitor.seen.tabs) == 3
    assert await visitor.do(Op.NEW_TAB) == "no more than 3 tabs can be open"
    assert await visitor.do(Op.TAB_FOCUS, text="3") == "there is no tab '3'; tabs are 0 to 2"
    while visitor.seen.tabs:
        assert await visitor.do(Op.CLOSE_TAB) == ""
    assert await visitor.do(Op.CLOSE_TAB) == "the last tab cannot be closed"


async def test_fetch_touches_no_tab_and_sees_what_scripts_write(visitor, site):
    site.pages |= {
        "/": "<p>One</p>",
        "/two": "<p id=p></p><script>fetch('/data').then(r => r.text()).then(t => p.textContent = t)</script>",
    }
    site.pages["/data"] = "late words"
    await visitor.open()
    assert "late words" in await visitor.session.fetch("http://shop.test/two")
    assert len(visitor.session.tabs) == 1 and visitor.session.page.url == "http://shop.test/"


async def test_pictures(visitor, site, tmp_path):
    site.pages["/"] = "<p>One</p>"
    await visitor.open()
    picture = tmp_path / "page.png"
    seen = await visitor.session.observe(screenshot=picture)
    assert seen.screenshot == str(picture) and picture.read_bytes()[:4] == b"\x89PNG"

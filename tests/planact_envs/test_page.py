"""Reading HTML: what is on a page, what it is called, and which id it has."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact_envs.observation import FORMS, render_page
from planact_envs.page import INTERACTIVE, read_html


def elements(html, values=None):
    """(id, role, name) of everything that can be acted on."""
    return [(node.id, node.role, node.name) for node in read_html(html, values).nodes.values()]


def only(html, values=None):
    """The one element that can be acted on."""
    (node,) = read_html(html, values).nodes.values()
    return node


def texts(html):
    """Texts and headings from top to bottom."""
    found = []

    def walk(node):
        found.extend([node.name] if node.role in ("text", "heading") else [])
        for child in node.children:
            walk(child)

    walk(read_html(html).root)
    return found


ROLES = [
    ("<a href=/x>N</a>", "link"),
    ("<a href>N</a>", "link"),
    ("<button>N</button>", "button"),
    ("<input type=submit value=N>", "button"),
    ("<input type=SUBMIT value=N>", "button"),
    ("<input type=reset value=N>", "button"),
    ("<input type=image title=N>", "button"),
    ("<input aria-label=N>", "textbox"),
    ("<input type=search aria-label=N>", "textbox"),
    ("<input type=strange aria-label=N>", "textbox"),
    ("<textarea aria-label=N></textarea>", "textbox"),
    ("<select aria-label=N></select>", "combobox"),
    ("<input type=checkbox aria-label=N>", "checkbox"),
    ("<input type=Radio aria-label=N>", "radio"),
    ("<div onclick=x>N</div>", "clickable"),
    ("<span role=button>N</span>", "clickable"),
    ("<table><tr><td onclick=x>N</table>", "clickable"),
    ("<div contenteditable aria-label=N>text</div>", "textbox"),
]


@pytest.mark.parametrize("html, role", ROLES)
def test_roles(html, role):
    assert elements(html) == [("1", role, "N")]


@pytest.mark.parametrize(
    "html",
    [
        "<a>N</a>",
        "<div contenteditable=false>N</div>",
        "<i role=img>N</i>",
        "<p>N</p>",
        "<input type=hidden value=N>",
        "<input type=HIDDEN>",
    ],
)
def test_what_cannot_be_acted_on_has_no_id(html):
    assert elements(html) == []


NAMES = [  # each of these wins over those below it
    ('<label for=i>no</label><input id=i aria-label=" a   name " placeholder=no>', "a name"),
    ("<label for=i>a\n name</label><input id=i placeholder=no title=no>", "a name"),
    ("<label>a <b>name</b> <input placeholder=no></label>", "a name"),
    ("<label>a name <select><option>no</select></label>", "a name"),
    ("<label>a name <textarea>no</textarea></label>", "a name"),
    ("<input placeholder='a name' title=no>", "a name"),
    ("<input title='a name'>", "a name"),
    ("<input name=no>", ""),
    ("<a href=/ title=no>a <b>name</b></a>", "a name"),
    ("<a href=/ title='a name'> </a>", "a name"),
    ("<button title=no>a<i> name</i></button>", "a name"),
    ("<input type=submit value='a name' title=no>", "a name"),
    ("<input value=no aria-label='' title='a name'>", "a name"),
    ("<label>I accept <a href=/terms>a name</a></label>", "a name"),
    ("<a href=/>fish &amp; chips&nbsp;&lt;b&gt; &#233;</a>", "fish & chips <b> é"),
]


@pytest.mark.parametrize("html, name", NAMES)
def test_names(html, name):
    assert only(html).name == name


def test_a_label_without_a_target_names_nothing():
    assert elements("<label for=''>no</label><label for>no</label><label for=j>no</label><input title=yes>") == [("1", "textbox", "yes")]


def test_a_label_is_not_shown_beside_its_field():
    assert texts("<p><label for=i>Name</label> <input id=i> <label>Mail <input></label> text</p>") == ["text"]


def test_ids_follow_the_document():
    html = "<nav><a href=/a>a</a></nav><p>x<button>b</button></p><ul><li><input title=c></li></ul><table><tr><td><a href=/d>d</a></table>"
    assert elements(html) == [("1", "link", "a"), ("2", "button", "b"), ("3", "textbox", "c"), ("4", "link", "d")]
    page = read_html(html)
    assert [page.elements[key].tag for key in page.nodes] == ["a", "button", "input", "a"]


HIDDEN = ["hidden", 'style="display: none"', 'style="color:red;DISPLAY:NONE"', "aria-hidden=true"]


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.parametrize("tag", ["div", "label", "li"])
def test_hidden_elements_and_all_in_them_are_left_out(how, tag):
    html = f"<{tag} {how}>secret<button>no</button></{tag}><button>yes</button>"
    assert elements(html) == [("1", "button", "yes")] and texts(html) == []


@pytest.mark.parametrize("tag", ["script", "style", "template"])
def test_what_is_no_content_is_left_out(tag):
    html = f"<p>a</p><{tag}><a href=/>no</a></{tag}><!-- <a href=/>no</a> --><p>b</p>"
    assert elements(html) == [] and texts(html) == ["a", "b"]


def test_typed_values_take_the_place_of_the_pages():
    html = "<input value=page><textarea>\n text </textarea><input>"
    assert [node.value for node in read_html(html).nodes.values()] == ["page", " text ", ""]
    assert [node.value for node in read_html(html, {"1": "", "2": "typed", "3": "x"}).nodes.values()] == ["", "typed", "x"]


def test_a_select_shows_its_options_and_the_chosen_one():
    html = "<select><option value=1>One<option value=2 selected> Two  2 <option>Three</select>"
    chosen = only(html)
    assert chosen.value == "Two 2"
    assert [(o.name, o.states) for o in chosen.children] == [("One", ()), ("Two 2", ("selected",)), ("Three", ())]
    assert only(html, {"1": "Three"}).value == "Three"
    assert only("<select><option>One<option>Two</select>").value == "One"  # as browsers do
    assert only("<select></select>").value == ""


@pytest.mark.parametrize("kind", ["checkbox", "radio"])
def test_checked_boxes(kind):
    html = f"<input type={kind} checked><input type={kind} disabled>"
    assert [node.states for node in read_html(html).nodes.values()] == [("checked",), ("disabled",)]
    assert [node.states for node in read_html(html, {"1": "", "2": "on"}).nodes.values()] == [(), ("disabled", "checked")]


def test_structure_is_kept_and_plain_containers_are_not():
    page = read_html("<title> A  page </title><main><div><h2>Head <i>line</i></h2><ul><li>one</li></ul></div></main>")
    heading, items = page.root.children
    assert page.title == "A page"
    assert (heading.role, heading.name, heading.tag) == ("heading", "Head line", "h2")
    assert (items.role, items.children[0].role, items.children[0].children[0].name) == ("list", "listitem", "one")


def test_an_element_in_a_heading_can_be_acted_on():
    assert elements("<h2>New: <a href=/x>Title</a></h2>") == [("1", "link", "Title")]
    assert texts("<h2>New: <a href=/x>Title</a></h2>") == ["New:"]


def test_nested_inline_elements():
    html = "<p>a <b>b <i>c</i></b> d <a href=/><span>e</span> <em>f</em></a>&nbsp;</p>"
    assert texts(html) == ["a", "b", "c", "d"] and elements(html) == [("1", "link", "e f")]


BROKEN = [
    ("", [], []),
    ("<body></body>", [], []),
    ("<html><frameset></frameset></html>", [], []),
    ("just text", ["just text"], []),
    ("<p>a<p>b</div></p>", ["a", "b"], []),
    ("<a href=/x>one<a href=/y>two", [], ["one", "two"]),
    ("<ul><li>a<li>b", ["a", "b"], []),
    ("<table><a href=/x>t</a><tr><td>c", ["c"], ["t"]),
    ("<button>a<button>b</button>", [], ["a", "b"]),
    ("<p>5 < 6 & 7 &bogus; &#0;", ["5 < 6 & 7 &bogus; \ufffd"], []),
    ("<select><option>a", [], [""]),
]


@pytest.mark.parametrize("html, shown, names", BROKEN)
def test_broken_html_is_read_as_browsers_do(html, shown, names):
    assert texts(html) == shown and [name for _, _, name in elements(html)] == names


@pytest.mark.parametrize("tag", ["div", "ul><li", "b", "label"])
def test_deep_nesting_is_cut_and_not_an_error(tag):
    page = read_html("<a href=/>before</a>" + f"<{tag}>" * 3000 + "<a href=/>deep</a>")
    assert [node.name for node in page.nodes.values()] == ["before"]
    for form in FORMS:
        assert "before" in render_page(page.root, page.title, form)


def test_a_cut_page_goes_on_after_the_deep_part():
    assert elements("<b><div>" * 300 + "</div></b>" * 300 + "<a href=/>after</a>") == [("1", "link", "after")]


def test_a_page_may_be_as_long_as_it_likes():
    assert texts("<div><p><b>x</b></p></div>" * 500) == ["x"] * 500


PIECES = ["<a href=/>", "</a>", "<button>", "<input title='", "'>", "<label>", "<h1>", "<ul><li>", "</ul>", "<select>", "<option>"]
PIECES += ["<textarea>", "</textarea>", "<table><tr>", "<p hidden>", "&lt;", "\x00", "\x1f", "\u2028", "'", '"', "[7]", "ü"]
pieces = st.sampled_from(PIECES)


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces | st.text(max_size=8), max_size=25).map("".join))
def test_any_text_is_read(html):
    page = read_html(html)
    assert list(page.nodes) == list(page.elements) == [str(n) for n in range(1, len(page.nodes) + 1)]
    for node in page.nodes.values():
        assert node.role in INTERACTIVE
        assert node.name == " ".join(node.name.split())  # one line

"""Reading BrowserGym's extraction: rows as the DevTools protocol writes them, written out by hand."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact_envs.miniwob.axtree import ROLES, read_axtree
from planact_envs.observation import FORMS, read_elements, render_page


class Sketch:
    """A page drawn row by row: `row` gives the row's id, for the `inside` of another one."""

    def __init__(self):
        self.rows, self.properties, self.keys = [], {}, itertools.count(1)
        self.strings, self.nodes = [], {"backendNodeId": [], "nodeName": [], "attributes": []}

    def index(self, text):
        self.strings.append(text)
        return len(self.strings) - 1

    def row(self, role, name="", *, bid="", inside=(), value="", tag="DIV", click=False, ignored=False, attributes=None, **properties):
        key = next(self.keys)
        row = {"nodeId": str(key), "role": {"value": role}, "name": {"value": name}, "childIds": list(inside), "backendDOMNodeId": key}
        row["properties"] = [{"name": name, "value": {"value": value}} for name, value in properties.items()]
        if value:
            row["value"] = {"value": value}
        if bid:
            row["browsergym_id"] = bid
            self.properties[bid] = {"clickable": click}
        if ignored:
            row["ignored"] = True
        self.rows.append(row)
        self.nodes["backendNodeId"].append(key)
        self.nodes["nodeName"].append(self.index(tag))
        self.nodes["attributes"].append([self.index(text) for pair in (attributes or {}).items() for text in pair])
        return str(key)

    def text(self, words):
        return self.row("StaticText", words, inside=[self.row("InlineTextBox", words)])

    def page(self, *top):
        root = self.row("RootWebArea", "Title ", inside=top)
        rows = sorted(self.rows, key=lambda row: row["nodeId"] != root)  # the root comes first
        return read_axtree({"nodes": rows}, {"strings": self.strings, "documents": [{"nodes": self.nodes}]}, self.properties)

    def lines(self, *top):
        page = self.page(*top)
        return [line.strip() for line in render_page(page.root, page.title, "axtree").split("\n")[1:]]


@pytest.fixture
def draw():
    return Sketch()


def test_text_is_read_once_and_in_order(draw):
    page = draw.page(draw.text("one"), draw.row("generic", inside=[draw.text(" two\nthree "), draw.text(" ")]), draw.row("LineBreak"))
    assert render_page(page.root, page.title, "short") == "page 'Title'\none\ntwo three"


def test_an_icon_is_called_by_its_class_and_a_box_by_its_text(draw):
    star = draw.row("image", bid="7", click=True, attributes={"class": "star  on"})
    box = draw.row("generic", bid="8", click=True, inside=[draw.row("generic", bid="9", inside=[draw.text("Hazel"), draw.text("Hello")])])
    assert draw.lines(star, box) == ["[7] clickable 'star on'", "[8] clickable 'Hazel Hello'"]


def test_an_element_that_reacts_to_nothing_has_no_id(draw):
    assert draw.lines(draw.row("generic", bid="3", inside=[draw.text("plain")]), draw.row("image", "a cat", bid="4")) == [
        "StaticText 'plain'",
        "StaticText 'a cat'",
    ]


def test_a_clickable_box_stands_before_what_can_be_clicked_in_it(draw):
    button = draw.row("button", "Delete", bid="2", tag="BUTTON")
    row = draw.row("generic", bid="1", click=True, inside=[draw.text("Hazel"), button])
    assert draw.lines(row) == ["[1] clickable 'Hazel'", "[2] button 'Delete'"]


def test_a_clickable_box_around_nothing_but_elements_is_left_out(draw):
    link = draw.row("link", "4", bid="2", tag="A")
    assert draw.lines(draw.row("cell", "4", bid="1", click=True, inside=[link])) == ["[2] link '4'"]


def test_each_item_of_a_list_that_reacts_to_clicks_can_be_clicked(draw):
    items = [draw.row("listitem", bid=bid, tag="LI", inside=[draw.text(name)]) for bid, name in (("2", "Congo"), ("3", "Cuba"))]
    assert draw.lines(draw.row("list", bid="1", click=True, tag="UL", inside=items)) == ["[2] clickable 'Congo'", "[3] clickable 'Cuba'"]
    assert draw.lines(
        draw.row("list", bid="4", tag="UL", inside=[draw.row("listitem", bid="5", tag="LI", inside=[draw.text("Mali")])])
    ) == [
        "list ''",
        "listitem ''",
        "StaticText 'Mali'",
    ]


def test_clicks_on_the_whole_page_belong_to_no_element(draw):
    assert draw.lines(draw.row("generic", bid="1", click=True, tag="BODY", inside=[draw.text("hello")])) == ["StaticText 'hello'"]


def test_a_label_is_read_as_the_name_of_its_field_or_as_text_when_it_has_none(draw):
    field = draw.row("checkbox", "Agree", bid="1", tag="INPUT", checked="true")
    assert draw.lines(draw.row("LabelText", inside=[field, draw.text("Agree")]), draw.row("LabelText", inside=[draw.text("Genre")])) == [
        "[1] checkbox 'Agree', checked=True",
        "StaticText 'Genre'",
    ]


def test_a_select_shows_what_is_chosen_and_what_could_be(draw):
    options = [draw.row("option", "Red", selected=True), draw.row("option", "Blue", selected=False)]
    popup = draw.row("MenuListPopup", inside=options)
    page = draw.page(draw.row("combobox", "Colour", bid="5", tag="SELECT", value="Red", inside=[popup]))
    assert render_page(page.root, page.title, "short").split("\n")[1] == "combobox 'Colour' [5] = Red of Red, Blue"
    assert [option.states for option in page.nodes["5"].children] == [("selected",), ()]


@pytest.mark.parametrize(
    "role, tag, attributes, ours",
    [
        ("searchbox", "INPUT", {}, "textbox"),
        ("Date", "INPUT", {}, "textbox"),
        ("combobox", "INPUT", {}, "textbox"),  # a field with suggestions takes text, it has no options of its own
        ("generic", "DIV", {"contenteditable": "true"}, "textbox"),
        ("listbox", "SELECT", {}, "combobox"),
        ("tab", "LI", {}, "button"),
        ("switch", "BUTTON", {}, "checkbox"),
    ],
)
def test_roles_become_ours_and_every_form_can_write_them(draw, role, tag, attributes, ours):
    page = draw.page(draw.row(role, "Name", bid="1", tag=tag, attributes=attributes))
    assert page.nodes["1"].role == ours
    for form in ("axtree", "html", "short"):
        assert "Name" in render_page(page.root, page.title, form)


def test_states_are_those_that_hold(draw):
    row = draw.row("tab", "One", bid="1", selected=True, expanded=False, disabled=True, focusable=True)
    assert draw.page(row).nodes["1"].states == ("disabled", "selected")


def test_ignored_rows_and_missing_ones_are_passed_over(draw):
    inner = draw.row("button", "Go", bid="1", tag="BUTTON")
    assert draw.lines(draw.row("button", "Shadow", bid="2", ignored=True, inside=[inner, "999"])) == ["[1] button 'Go'"]


def test_no_depth_exhausts_the_stack(draw):
    key = draw.text("deep")
    for _ in range(3000):
        key = draw.row("list", inside=[key])
    assert render_page(draw.page(key, draw.text("shallow")).root, "t", "short") == "page 't'\nshallow"


@st.composite
def shapes(draw):
    """What a row is made of, and how many of the rows before it stand inside it."""
    role = draw(st.sampled_from([*ROLES, "generic", "MenuListPopup", "InlineTextBox", "none"]))
    tag = draw(st.sampled_from(["div", "INPUT", "SELECT", "a", "BODY", "li", ""]))
    attributes = draw(st.dictionaries(st.sampled_from(["class", "id", "contenteditable"]), st.sampled_from(["true", "a b", ""])))
    extra = {"click": draw(st.booleans()), "ignored": draw(st.booleans()), "checked": draw(st.sampled_from(["true", "false", "mixed"]))}
    name, value = draw(st.text(max_size=8)), draw(st.text(max_size=8))
    return role, name, {"tag": tag, "attributes": attributes, "value": value, **extra}, draw(st.integers(0, 3)), draw(st.booleans())


@settings(deadline=None)
@given(st.lists(shapes(), max_size=10))
def test_every_tree_is_read_and_what_has_an_id_is_in_every_form_once(rows):
    sketch, loose = Sketch(), []
    for number, (role, name, rest, inside, marked) in enumerate(rows):
        taken, loose = loose[len(loose) - inside :] if inside else [], loose[: len(loose) - inside] if inside else loose
        loose.append(sketch.row(role, name, bid=str(number) if marked else "", inside=taken, **rest))
    page = sketch.page(*loose)
    for form in FORMS:
        text = render_page(page.root, page.title, form)
        if form != "html":  # whose elements may lie around others
            assert sorted(element.id for element in read_elements(text, form)) == sorted(page.nodes)

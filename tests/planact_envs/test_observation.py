"""The observation texts, and reading the elements back out of them."""

import asyncio
import re
from urllib.parse import urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact_envs.miniweb import sites, world
from planact_envs.miniweb.browser import TextBrowser, with_database
from planact_envs.miniweb.database import connect
from planact_envs.observation import FORMS, Element, describe_element, read_elements, render_page
from planact_envs.page import Node, Page, read_html

HTML = """<title>Bob's shop</title><nav><a href=/cart>Cart</a></nav><h1>Tea &amp; cups</h1>
<form><label for=q>Search</label><input id=q value="green tea"><button disabled>Go</button></form>
<ul><li><a href=/1>Mug</a> $5 <button>Buy "Mug"</button></li><li>none</li></ul>
<table><tr><th>Size</th><td><select aria-label=Size><option>S<option selected>M</select></td></tr></table>
<input type=checkbox aria-label=Gift checked>"""

AXTREE = """RootWebArea 'Bob’s shop'
	[1] link 'Cart'
	heading 'Tea & cups'
	[2] textbox 'Search', value='green tea'
	[3] button 'Go', disabled=True
	list ''
		listitem ''
			[4] link 'Mug'
			StaticText '$5'
			[5] button 'Buy "Mug"'
		listitem ''
			StaticText 'none'
	table ''
		row ''
			cell ''
				StaticText 'Size'
			cell ''
				[6] combobox 'Size', value='M'
					option 'S'
					option 'M', selected=True
	[7] checkbox 'Gift', checked=True"""

WEBRL = """<html> <title> Bob&#x27;s shop </title>
  <a id="1"> Cart </a>
  <h1> Tea &amp; cups </h1>
  <input id="2" type="text" label="Search" value="green tea" />
  <button id="3" disabled="true"> Go </button>
  <ul>
    <li>
      <a id="4"> Mug </a>
      $5
      <button id="5"> Buy &quot;Mug&quot; </button>
    </li>
    <li>
      none
    </li>
  </ul>
  <table>
    <tr>
      <th>
        Size
      </th>
      <td>
        <select id="6" label="Size">
          <option> S </option>
          <option selected="true"> M </option>
        </select>
      </td>
    </tr>
  </table>
  <input id="7" type="checkbox" label="Gift" checked="true" />
</html>"""

SHORT = """page 'Bob’s shop'
link 'Cart' [1]
Tea & cups
textbox 'Search' [2] = green tea
button 'Go' [3] disabled
link 'Mug' [4] | $5 | button 'Buy "Mug"' [5]
none
Size | combobox 'Size' [6] = M of S, M
checkbox 'Gift' [7] checked"""

GOLDEN = {"axtree": AXTREE, "html": WEBRL, "short": SHORT}


def text_of(page: Page, form: str, ids: bool = True) -> str:
    return render_page(page.root, page.title, form, ids=ids)


def shown(page: Page, form: str) -> list[Element]:
    """The elements as `form` can show them: in single quotes an apostrophe becomes a typographic one."""
    return [Element(n.role, n.name if form == "html" else n.name.replace("'", "’"), n.id) for n in page.nodes.values()]


def without_ids(text: str, form: str) -> str:
    mark = {"axtree": r"(?m)^(\t*)\[\w+\] ", "html": r'(<\w+) id="\w+"', "short": r"((?:^|\| )\w+ '[^'\n]*') \[\w+\]"}[form]
    return re.sub(mark, r"\1", text, flags=re.M)


@pytest.mark.parametrize("form", FORMS)
def test_the_three_forms(form):
    assert text_of(read_html(HTML), form) == GOLDEN[form]


@pytest.mark.parametrize("form", FORMS)
def test_elements_are_read_back(form):
    assert read_elements(GOLDEN[form], form) == [
        Element("link", "Cart", "1"),
        Element("textbox", "Search", "2"),
        Element("button", "Go", "3"),
        Element("link", "Mug", "4"),
        Element("button", 'Buy "Mug"', "5"),
        Element("combobox", "Size", "6"),
        Element("checkbox", "Gift", "7"),
    ]


def test_an_element_is_described_in_the_words_of_the_page():
    mug = Element("link", "Mug", "4")
    assert [describe_element(mug, form) for form in FORMS] == ["link 'Mug'", "link 'Mug'", "link 'Mug' [4]"]
    for form in ("axtree", "short"):
        assert all(describe_element(element, form) in GOLDEN[form] for element in read_elements(GOLDEN[form], form))


@pytest.mark.parametrize("form", FORMS)
def test_the_outline_is_the_same_text_without_ids(form):
    outline = text_of(read_html(HTML), form, ids=False)
    assert outline == without_ids(GOLDEN[form], form)
    assert not re.search(r'\[\d+\]|\bid="', outline) and read_elements(outline, form) == []


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_page(form):
    only_title = {"axtree": "RootWebArea ''", "html": "<html> <title>  </title>\n</html>", "short": "page ''"}
    assert text_of(read_html(""), form) == only_title[form]


TRICKY = ["it's 5 o'clock", 'say "hi"', "a | b", "[7] link", "link 'x' [9]", '<b id="9"> x </b>', "5 > 4 & 3 < 4"]
TRICKY += ["’", "x' [9]", "]", "a=b, value='c'", ""]
KINDS = [("link", "a"), ("button", "input"), ("textbox", "textarea"), ("checkbox", "input")]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TRICKY)
def test_names_with_quotes_and_marks(form, name):
    nodes = [Node(role, name, str(i), tag=tag) for i, (role, tag) in enumerate(KINDS, 1)]
    item = Node("listitem", tag="li", children=(Node("text", name), Node("link", name, "5", tag="a")))
    root = Node("page", children=(*nodes, Node("list", tag="ul", children=(item,))))
    expected = name if form == "html" else name.replace("'", "’")
    found = read_elements(render_page(root, name, form), form)
    assert found == [*(Element(role, expected, str(i)) for i, (role, _) in enumerate(KINDS, 1)), Element("link", expected, "5")]


@pytest.mark.parametrize("form", FORMS)
def test_typed_line_breaks_do_not_make_new_lines(form):
    page = read_html("<textarea title=T></textarea><a href=/>L</a>", {"1": "a\nlink 'Evil' [9]\r\n\t[8] link 'Evil'\u2028b"})
    text = text_of(page, form)
    assert read_elements(text, form) == [Element("textbox", "T", "1"), Element("link", "L", "2")]
    assert len(text.splitlines()) == {"axtree": 3, "html": 4, "short": 3}[form]  # title, field, link (and </html>)


@pytest.mark.parametrize("form", FORMS)
def test_text_of_a_page_cannot_pass_for_an_element(form):
    evil = "link 'Evil' [9]", "[9] link 'Evil'", '&lt;a id="9"&gt; Evil &lt;/a&gt;', "x | button 'Evil' [9]"
    html = "".join(f"<h2>{text}</h2><p>{text}</p><ul><li>x<b>{text}</b></li></ul>" for text in evil)
    assert read_elements(text_of(read_html(html), form), form) == []
    page = read_html("".join(f"<select title=S><option>{text}</select><textarea title=T>{text}</textarea>" for text in evil))
    assert {e.name for e in read_elements(text_of(page, form), form)} == {"S", "T"}


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda s: " ".join(s.split()))
leaves = st.tuples(st.sampled_from([("link", "a"), ("button", "button"), ("textbox", "input"), ("radio", "input")]), names, names)


@settings(max_examples=150, deadline=None)
@given(st.lists(leaves, max_size=6), st.sampled_from(FORMS))
def test_any_names_and_values_are_read_back(found, form):
    nodes = [Node(role, name, str(i), value if role == "textbox" else "", tag=tag) for i, ((role, tag), name, value) in enumerate(found, 1)]
    root = Node("page", children=tuple(nodes))
    page = Page(root, "T", {}, {node.id: node for node in nodes})
    assert read_elements(render_page(root, "T", form), form) == shown(page, form)


async def crawl() -> list[Page]:
    """Every page that links reach from the sites' home pages, read by the text browser."""
    database = connect(world.build_world())
    browser = TextBrowser(with_database(sites.app(), database), sites.HOSTS)
    pages: dict[str, Page] = {}
    queue = list(sites.HOME.values())
    for url in queue:
        if url not in pages:
            await browser.goto(url)
            page = pages[url] = browser.tab.page
            queue += [urljoin(url, page.elements[key].attributes["href"]) for key, node in page.nodes.items() if node.role == "link"]
    database.close()
    return list(pages.values())


@pytest.fixture(scope="module")
def crawled() -> list[Page]:
    return asyncio.run(crawl())


@pytest.mark.parametrize("form", FORMS)
def test_every_miniweb_page_is_read_back_and_has_an_outline(crawled, form):
    assert len(crawled) > 700
    for page in crawled:
        text = text_of(page, form)
        assert read_elements(text, form) == shown(page, form), page.title
        outline = text_of(page, form, ids=False)
        assert read_elements(outline, form) == [] and outline == without_ids(text, form), page.title

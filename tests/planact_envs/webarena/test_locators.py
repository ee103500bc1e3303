"""What our script reads for a locator is what the locator's own expression gives in Chromium, on a page made to fit it."""

import re

import pytest
from playwright.async_api import Error

from planact.recipe import RecipeError
from planact_envs.chromium.launch import open_browser
from planact_envs.scoring.locator import READ, parse_click, parse_locator
from planact_envs.webarena.tasks import load_tasks

pytestmark = pytest.mark.browser
LINKS = (
    "[...document.querySelector('.a').querySelectorAll('[href],[src]')]"
    ".map(elem => elem.getAttribute('href') || elem.getAttribute('src')).join(' ')"
)
EXPRESSIONS = [  # one of each form
    "document.querySelector('.a > b').outerText",
    "document.querySelectorAll('p.a')[1].textContent",
    "document.querySelector('[name=\"x\"').value",  # as many published ones, without the last bracket
    "document.querySelector('select').selectedIndex",
    "document.querySelector('input#i').checked.toString()",
    "document.querySelector('form').getAttribute('class')",
    "document.querySelector('.a').lastElementChild.querySelector('i').outerText",
    "document.querySelector('.a').lastChild.textContent",
    "document.querySelector('.a').outerText + (document.querySelector('.b')?.outerText || '')",
    LINKS,
]
COMPOUND = re.compile(r"""(?P<tag>^\w+)|\.(?P<class>[\w-]+)|\#(?P<id>[\w-]+)|\[(?P<attribute>[\w-]+)=["'](?P<value>[^"']*)["']\]?""")


FIELDS = {"value": "input", "checked": "input", "selectedIndex": "select"}  # what has the property that is read


def element(compound, inner, tag="div"):
    """HTML of an element that a selector without blanks fits."""
    attributes = ""
    for match in COMPOUND.finditer(compound):
        tag = match["tag"] or tag
        if match["attribute"]:
            attributes += f' {match["attribute"]}="{match["value"]}"'
    bare = re.sub(r"\[.*", "", compound)
    classes, ids = re.findall(r"\.([\w-]+)", bare), re.findall(r"#([\w-]+)", bare)
    attributes += f' class="{" ".join(classes)}"' + (f' id="{ids[0]}"' if ids else "")
    return f"<{tag}{attributes} value=held checked>" if tag == "input" else f"<{tag}{attributes}>{inner}</{tag}>"


def page_for(part):
    """A page on which the steps of a locator's term lead to something."""
    inner, tag = '<i>text</i> <a href="/x">link</a><img src="/y"><option>1<option selected>2', FIELDS.get(part["read"], "div")
    for kind, selector, index in reversed(part["steps"]):
        if not kind.startswith("querySelector"):
            inner = inner if kind.startswith("first") else f"<em>before</em>{inner}"
            continue
        for compound in reversed(re.split(r"\s*>\s*|\s+(?![^\[]*[\]\"'])", selector.strip())):
            inner, tag = element(compound, inner, tag), "div"
        inner *= index + 1
    return f"<body>{inner}</body>"


async def compare(locators):
    """How many gave something. The page's own expression is evaluated as the original scorers do."""
    something = 0
    async with open_browser() as browser:
        page = await browser.new_page()
        for locator in locators:
            parts = parse_locator(locator)
            await page.set_content("".join(page_for(part) for part in parts))
            results = []
            for script, data in ((f"() => {locator}", None), (READ, parts)):
                try:
                    results.append(str(await page.evaluate(script, data)))
                except Error:
                    results.append("")
            assert results[0] == results[1], locator
            something += results[0] not in ("", "None")
    return something


async def test_each_form_reads_what_its_expression_gives():
    assert await compare(EXPRESSIONS) >= len(EXPRESSIONS) - 2


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["webarena-lite", "webarena"])
async def test_every_published_locator_reads_what_its_expression_gives(suite):
    try:
        tasks = load_tasks(suite, "test")
    except RecipeError:
        pytest.skip(f"the task file of {suite} is not installed: `make webarena` installs it")
    locators = {check["locator"] for task in tasks for check in task.eval["program_html"]}
    locators = sorted(one for one in locators if one and not one.startswith("func:"))
    assert await compare(locators) > 0.8 * len(locators)


async def test_a_click_is_a_click():
    async with open_browser() as browser:
        page = await browser.new_page()
        await page.set_content('<div class=a><b onclick="document.title = 1">x</b></div>')
        await page.evaluate(READ, parse_click("document.querySelector('.a').querySelector('b').click()"))
        assert await page.title() == "1"

"""The viewer in real Chromium: filters and order, reading without JavaScript, and more than 200 hostile texts in every field."""

from dataclasses import replace

import pytest
import pytest_asyncio

from planact.types import Action, FailureInfo, Judgement, Observation, Op, Outcome, Plan, PlanStep, StopReason, Turn, to_dict
from planact_envs.chromium.launch import open_browser
from planact_eval.asking import identity
from planact_eval.viewer import write_viewer
from tests.planact_eval.hostile import ELSEWHERE, OWNED, PAYLOADS, VECTORS
from tests.planact_eval.viewer_runs import IDS, SETTINGS, episode, write_run

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
PRICE, SKU, POINTS, RELEASE = IDS
SHOWN = "#tasks > details:not([hidden]) > summary .id"
# What no page of ours holds, and what hostile text would make.
FOREIGN = """() => [...document.querySelectorAll("*")].filter((element) =>
    element.closest("svg, math, a, iframe, object, embed, link, base, video, audio, img, textarea, button:not([type=reset])")
    || [...element.attributes].some(({ name }) => name.startsWith("on") || ["href", "src", "style", "srcdoc", "action"].includes(name))
    || (element.tagName === "SCRIPT" && element.textContent.includes("owned"))).map((element) => element.outerHTML.slice(0, 80))"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with open_browser() as running:
        yield running


class Visit:
    """A page that is watched: whatever it asks for, opens, or runs. Nothing that it asks for leaves."""

    def __init__(self, page):
        self.page, self.requests, self.surprises = page, [], []

    @classmethod
    async def open(cls, browser, path, **settings):
        context = await browser.new_context(**settings)
        visit = cls(await context.new_page())
        await context.route("**/*", visit.answer)
        visit.page.on("dialog", visit.dialog)
        for event in ("popup", "download", "worker", "pageerror", "frameattached"):
            visit.page.on(event, lambda found, event=event: visit.surprises.append((event, found)))
        await visit.page.goto(path.as_uri(), timeout=120_000)
        return visit

    async def answer(self, route):
        self.requests.append(route.request.url)
        await (route.continue_() if len(self.requests) == 1 else route.abort())

    async def dialog(self, found):
        self.surprises.append(("dialog", found.message))
        await found.dismiss()

    async def owned(self):
        return await self.page.evaluate("() => window.owned ?? document.querySelectorAll('.owned').length")

    async def shown(self):
        return [text.split(" ")[0] for text in await self.page.locator(SHOWN).all_text_contents()]

    async def close(self):
        await self.page.context.close()


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    broken = episode(POINTS, None, stop_reason=StopReason.ENV_ERROR, error="down", seconds=0.5)
    one = {PRICE: episode(PRICE, True, 3), SKU: episode(SKU, False, 5, seconds=1.0), POINTS: broken, RELEASE: episode(RELEASE, False)}
    two = {PRICE: episode(PRICE, False), SKU: episode(SKU, False), POINTS: episode(POINTS, True), RELEASE: episode(RELEASE, False)}
    runs = [write_run(folder / "one", one), write_run(folder / "two", two, ["name=tiny/other"])]
    return [write_viewer(runs[:1], folder / "one.html"), write_viewer(runs, folder / "two.html")]


async def test_episodes_are_filtered_and_sorted(browser, two_runs):
    from playwright.async_api import expect

    visit = await Visit.open(browser, two_runs[0])
    page = visit.page
    assert await visit.shown() == [PRICE, SKU, POINTS, RELEASE] and await page.text_content("#shown") == "4 of 4 shown"
    await page.select_option("#verdict", "failure")
    assert await visit.shown() == [SKU, RELEASE] and await page.text_content("#shown") == "2 of 4 shown"
    await page.select_option("#site", "shop")
    assert await visit.shown() == [SKU]
    await page.click("button[type=reset]")
    await expect(page.locator("#shown")).to_have_text("4 of 4 shown")
    await page.select_option("#sort", "turns down")  # 3, 5, 2 and 2 turns
    assert await visit.shown() == [SKU, PRICE, POINTS, RELEASE]
    await page.select_option("#sort", "seconds up")  # 4.5, 1.0, 0.5 and 3.0 seconds
    assert await visit.shown() == [POINTS, SKU, RELEASE, PRICE]
    await page.fill("#search", "  PRICE product")
    assert await visit.shown() == [PRICE]
    await page.press("#search", "Enter")  # submits nothing
    await page.fill("#search", "no such request")
    assert await visit.shown() == [] and await page.text_content("#shown") == "0 of 4 shown"
    assert visit.requests == [two_runs[0].as_uri()] and visit.surprises == []
    await visit.close()


async def test_two_runs_are_filtered_by_where_they_differ(browser, two_runs):
    visit = await Visit.open(browser, two_runs[1])
    for value, expected in {"any": [PRICE, POINTS], "first": [PRICE], "second": [POINTS], "": list(IDS)}.items():
        await visit.page.select_option("#differs", value)
        assert await visit.shown() == expected
    await visit.page.select_option("#verdict", "error")
    assert await visit.shown() == [POINTS]  # of either run
    await visit.page.locator("#tasks > details:not([hidden]) > summary").click()
    columns = [await side.bounding_box() for side in await visit.page.locator("details[open] .episode").all()]
    assert len(columns) == 2 and columns[0]["y"] == columns[1]["y"] and columns[0]["x"] < columns[1]["x"]
    await visit.page.set_viewport_size({"width": 380, "height": 800})
    assert await visit.page.evaluate("document.documentElement.scrollWidth") <= 380
    await visit.close()


async def test_it_is_read_without_javascript(browser, two_runs):
    visit = await Visit.open(browser, two_runs[0], java_script_enabled=False)
    assert len(await visit.shown()) == 4 and not await visit.page.is_visible("#filters")
    await visit.page.locator("#tasks > details > summary").nth(1).click()
    assert await visit.page.get_by_text("Scorer: answer: expected '43'").first.is_visible()
    await visit.close()


def hostile_episode(id, text):
    """An episode that holds `text` wherever a page, a model or a benchmark writes."""
    page = Observation(f"{text}\nlink 'x' [1] {text}", text, text, text, (text, text), text, text)
    plans = [Plan((PlanStep(text, f"{text} {i}"), PlanStep(text, "report it"))) for i in range(2)]
    click = Turn(
        0, plans[0], page, f"<think>{text}</think>{text}", Action(Op.CLICK, "1", text, text, text), True, f"<think>{text}</think>{text}"
    )
    lost = Turn(1, plans[0], page, text, None, False, text, FailureInfo(text, text), FailureInfo(text, text))
    stop = Turn(2, plans[1], page, text, Action(Op.STOP, "", text, text, text), True, text)
    outcome = Outcome(False, text, text, (Judgement(text, text, text, text, False),))
    return replace(episode(id, False), intent=text, turns=(click, lost, stop), outcome=outcome, final=page, answer=text, error=text)


async def test_no_hostile_text_runs_loads_or_becomes_an_element(browser, tmp_path):
    assert len(set(PAYLOADS)) >= 200
    tasks = {f"{PRICE}#{i}": hostile_episode(PRICE, text) for i, text in enumerate(PAYLOADS)}
    said = {key: {"kind": t.intent, "message": t.intent, "source": t.intent, "of": identity(to_dict(t))} for key, t in tasks.items()}
    settings = SETTINGS | {"models": dict(zip(PAYLOADS, PAYLOADS)), "suite": PAYLOADS[0], "scorer": PAYLOADS[-1]}
    run = write_run(tmp_path / "run", tasks, [], list(tasks.items()), said, settings)
    visit = await Visit.open(browser, write_viewer([run], tmp_path / "view.html"))
    page = visit.page
    await page.evaluate("() => { for (const folded of document.querySelectorAll('details')) folded.open = true; }")
    for id, value in {"search": "script", "sort": "tokens up"}.items():
        await (page.fill(f"#{id}", value) if id == "search" else page.select_option(f"#{id}", value))
    await page.fill("#search", "")
    assert await page.text_content("#shown") == f"{len(PAYLOADS)} of {len(PAYLOADS)} shown"
    await page.mouse.move(400, 400)
    await page.keyboard.press("Tab")
    await page.wait_for_timeout(500)  # for what would run a little later
    assert not await visit.owned() and visit.surprises == [] and visit.requests == [(tmp_path / "view.html").as_uri()]
    assert await page.evaluate(FOREIGN) == []
    intents = await page.locator("#tasks > details > summary .intent").all_text_contents()
    assert f"<img src=x onerror={OWNED}>" in intents and "{{ 7 * 7 }}" in intents
    await visit.close()


async def slipped(browser, folder, vector, policy=True):
    """A visit to the file with the text put in as it is."""
    run = write_run(folder / "run", {PRICE: episode(PRICE, False)})
    html = write_viewer([run], folder / "view.html").read_text()
    html = html if policy else html.replace("Content-Security-Policy", "nothing")
    path = folder / "slipped.html"
    path.write_text(html.replace('<p id="shown"', f'{vector}</script></style></svg></math></video></object><p id="shown"', 1))
    visit = await Visit.open(browser, path)
    await visit.page.wait_for_timeout(100)
    return visit


@pytest.mark.parametrize("vector", VECTORS)
async def test_even_markup_that_had_slipped_through_could_neither_run_nor_load(browser, tmp_path, vector):
    visit = await slipped(browser, tmp_path, vector)
    assert not await visit.owned()
    assert not [url for url in visit.requests if ELSEWHERE in url] and not [name for name, _ in visit.surprises if name == "dialog"]
    await visit.close()


async def test_without_the_policy_it_would(browser, tmp_path):
    for number, vector in enumerate((f"<img src=x onerror={OWNED}>", f"<img src={ELSEWHERE}/x.png>")):
        visit = await slipped(browser, tmp_path / str(number), vector, policy=False)
        assert [bool(await visit.owned()), any(ELSEWHERE in url for url in visit.requests)] == [number == 0, number == 1]
        await visit.close()

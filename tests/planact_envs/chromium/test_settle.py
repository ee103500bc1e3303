"""An action's effects are waited for, and nothing else is."""

import asyncio
import time

import pytest
from starlette.responses import PlainTextResponse, StreamingResponse

from planact.types import Op
from planact_envs.chromium.settle import settle

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


def button(script, code="<script></script>"):
    return f'<button onclick="{script}">Go</button><p id=p>before</p>{code}'


async def slow(scope):
    await asyncio.sleep(0.4)
    return PlainTextResponse("after")


async def slower(scope):
    """Longer than the patience with a document that changes by itself."""
    await asyncio.sleep(1.5)
    return PlainTextResponse("after")


async def slow_script(scope):
    await asyncio.sleep(0.4)
    return PlainTextResponse("document.getElementById('p').textContent = 'after'", media_type="text/javascript")


async def endless(scope):
    async def body():
        for _ in range(600):
            await asyncio.sleep(0.1)
            yield "more"

    return StreamingResponse(body(), media_type="text/plain")


async def never(scope):
    await asyncio.sleep(60)


async def trickling(scope):
    """Headers at once, the body in two parts."""

    async def body():
        for part in ("aft", "er"):
            await asyncio.sleep(0.2)
            yield part

    return StreamingResponse(body(), media_type="text/plain")


CHANGES = "let n = 0, i = setInterval(() => { p.textContent = ++n < 15 ? n : 'after'; if (n === 15) clearInterval(i) }, 5)"
READ = "let t = '', c; while (!(c = await d.read()).done) t += c.value; p.textContent = t"
INSERT = "s = document.createElement('script'); s.onerror = () => p.textContent = 'after'; document.body.append(s)"
UPDATES = {
    "timer": "setTimeout(() => p.textContent = 'after', 400)",
    "chain of timers": "setTimeout(() => setTimeout(() => p.textContent = 'after', 200), 200)",
    "fetch": "fetch('/slow').then(r => r.text()).then(t => p.textContent = t)",
    "fetch of a slow body": "fetch('/trickling').then(r => r.text()).then(t => p.textContent = t)",
    "fetch, then a timer": "fetch('/slow').then(() => setTimeout(() => p.textContent = 'after', 100))",
    "request": "x = new XMLHttpRequest(); x.onload = () => p.textContent = x.responseText; x.open('GET', '/slow'); x.send()",
    "request that is opened anew": "x = new XMLHttpRequest(); x.open('GET', '/never'); x.send(); x.open('GET', '/'); "
    "p.textContent = 'after'",
    "request that cannot be sent": "try { new XMLHttpRequest().send() } catch { p.textContent = 'after' }",
    "timer that is cleared as an interval": "clearInterval(setTimeout(() => 0, 1400)); p.textContent = 'after'",
    "changes after a long fetch": f"fetch('/slower').then(() => {{ {CHANGES} }})",
    "stream": f"fetch('/trickling').then(async r => {{ d = r.body.pipeThrough(new TextDecoderStream()).getReader(); {READ} }})",
    "failure that nobody handles": "window.addEventListener('unhandledrejection', () => p.textContent = 'after'); fetch('nowhere:x')",
    "script": f"{INSERT}; s.src = '/slow.js'",
    "script that is not there": f"{INSERT}; s.src = '/nothing.js'",
    "script of another document": "d = document.implementation.createHTMLDocument(); s = d.createElement('script'); s.src = '/slow.js'; "
    "d.body.append(s); p.textContent = 'after'",
    "script that never runs": f"{INSERT}; s.type = 'text/template'; s.src = '/slow.js'; p.textContent = 'after'",
    "frame of animation": "requestAnimationFrame(() => p.textContent = 'after')",
    "navigation": "setTimeout(() => location = '/slow', 100)",
}


@pytest.mark.parametrize("kind", UPDATES)
async def test_an_update_that_a_click_causes_is_seen(visitor, site, kind):
    site.pages |= {"/": button(UPDATES[kind]), "/slow": slow, "/slower": slower, "/trickling": trickling}
    site.pages |= {"/slow.js": slow_script, "/never": never}
    await visitor.open()
    assert await visitor.do(Op.CLICK, "Go") == ""
    assert "after" in visitor.seen.text


async def test_a_page_whose_only_code_is_an_attribute_may_change(visitor, site):
    site.pages["/"] = button(CHANGES, code="")
    await visitor.open()
    assert await visitor.do(Op.CLICK, "Go") == ""
    assert "after" in visitor.seen.text


async def seconds(work):
    start = time.perf_counter()
    await work
    return time.perf_counter() - start


async def test_a_page_that_settles_at_once_is_not_waited_for(visitor, site):
    """20 ms are the window of quiet; the fastest of ten tells, for the machine may be busy."""
    site.pages["/"] = button("p.textContent = 'after'")
    await visitor.open()
    await visitor.do(Op.CLICK, "Go")
    assert min([await seconds(settle(visitor.session.tab)) for _ in range(10)]) < 0.05


@pytest.mark.parametrize(
    "script",
    [
        "(async () => { while (1) { await new Promise(r => setTimeout(r, 50)); p.textContent += '.' } })()",
        "(function turn() { p.textContent += '.'; setTimeout(turn, 5) })()",
        "setInterval(() => p.textContent += '.', 10)",
        "setTimeout(() => p.textContent = 'never mind', 60000)",
        "(function turn() { p.textContent += '.'; requestAnimationFrame(turn) })()",
    ],
    ids=["polling", "fast polling", "interval", "long timer", "animation"],
)
async def test_what_never_ends_is_not_waited_for_to_the_end(visitor, site, script):
    site.pages["/"] = button(script)
    await visitor.open()
    assert await visitor.do(Op.CLICK, "Go") == ""
    assert min([await seconds(visitor.do(Op.HOVER, "Go")) for _ in range(2)]) < 3.5  # 1 s of patience; the deadline here is 4 s


async def test_a_stream_without_an_end_is_given_up_once(visitor, site):
    site.pages |= {"/": button(f"fetch('/endless').then(async r => {{ d = r.body.getReader(); {READ} }})"), "/endless": endless}
    await visitor.open()
    assert await visitor.do(Op.CLICK, "Go") == "the page was still waiting for a request after 4 s"
    assert await visitor.do(Op.HOVER, "Go") == ""

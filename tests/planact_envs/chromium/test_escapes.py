"""Every way that a page might leave the list, against servers on this machine: nothing arrives, and what is listed still works."""

import asyncio

import pytest
from starlette.responses import RedirectResponse, Response

from planact.types import Op

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SPELLINGS = [
    "http://127.0.0.1:{port}",
    "http://localhost:{port}",
    "http://[::1]:{port}",
    "http://2130706433:{port}",
    "http://0x7f.1:{port}",
]
SPELLINGS += ["http://127.1:{port}", "http://shop.test@127.0.0.1:{port}", "http://shop.test.localhost:{port}", "http://0.0.0.0:{port}"]
SPELLINGS += ["http://[::ffff:127.0.0.1]:{port}", "https://127.0.0.1:{port}"]

ATTEMPTS = {
    "frame": "<iframe src='{url}'></iframe>",
    "image": "<img src='{url}'>",
    "script": "<script src='{url}'></script>",
    "style": "<link rel=stylesheet href='{url}'>",
    "background": "<div style='background:url({url});width:9px;height:9px'></div>",
    "preload": "<link rel=prefetch href='{url}'><link rel=preload as=image href='{url}'><link rel=preconnect href='{url}'>",
    "object": "<object data='{url}'></object><embed src='{url}'><video src='{url}'></video>",
    "fetch": "<script>fetch('{url}', {{mode: 'no-cors'}}).catch(() => 0)</script>",
    "xhr": "<script>x = new XMLHttpRequest(); x.open('GET', '{url}'); x.send()</script>",
    "beacon": "<script>navigator.sendBeacon('{url}', 'secret')</script>",
    "socket": "<script>new WebSocket('{url}'.replace('http', 'ws'))</script>",
    "events": "<script>new EventSource('{url}')</script>",
    "refresh": "<meta http-equiv=refresh content='0;url={url}'>",
    "script navigation": "<script>location = '{url}'</script>",
    "form": "<form method=post action='{url}'><input name=s value=secret></form><script>document.forms[0].submit()</script>",
    "worker": "<script>new Worker(URL.createObjectURL(new Blob([`fetch('{url}', {{mode: 'no-cors'}})`])))</script>",
    "frame in a frame": "<iframe srcdoc=\"<img src='{url}'>\"></iframe>",
    "data frame": "<iframe src=\"data:text/html,<img src='{url}'>\"></iframe>",
    "popup": "<script>window.open('{url}')</script>",
    "unload": "<script>onpagehide = () => navigator.sendBeacon('{url}')</script>",
}


async def test_a_page_cannot_reach_what_is_not_listed(visitor, site, elsewhere):
    site.pages["/two"] = "<p>Two</p>"
    for attempt, html in ATTEMPTS.items():
        visitor.session.proxy.unreached.clear()
        site.pages["/"] = f"<p>Page</p>{html.format(url=f'http://127.0.0.1:{elsewhere.address[1]}/secret')}"
        await visitor.open("/")
        await visitor.open("/two")
        for _ in range(100):  # a beacon is sent after the page is gone
            if visitor.session.proxy.unreached:
                break
            await asyncio.sleep(0.02)
        assert elsewhere.visits == [], attempt
        assert any("127.0.0.1 is outside this environment" in reason for _, reason in visitor.session.proxy.unreached), attempt
        assert visitor.seen.url == "http://shop.test/two" and "Two" in visitor.text, attempt


async def test_no_spelling_of_an_address_passes(visitor, site, elsewhere):
    for spelling in SPELLINGS:
        url = spelling.format(port=elsewhere.address[1]) + "/secret"
        site.pages["/"] = f"<p>Page</p><a href='{url}'>Away</a><img src='{url}'>"
        await visitor.open("/")
        assert "could not be opened" in await visitor.do(Op.CLICK, "Away"), spelling
        assert "Page" in visitor.text and visitor.seen.url == "http://shop.test/", spelling
        assert "is not opened" in await visitor.do(Op.GOTO, text=url), spelling
        assert elsewhere.visits == [], spelling


async def test_a_redirect_is_stopped_where_it_leaves(visitor, site, elsewhere):
    url = f"http://127.0.0.1:{elsewhere.address[1]}/secret"
    site.pages |= {"/": "<p>Page</p><a href=/hop>Hop</a>", "/hop": RedirectResponse("/leave")}
    for status in (301, 302, 303, 307, 308):
        site.pages["/leave"] = RedirectResponse(url, status)
        await visitor.open("/")
        error = await visitor.do(Op.CLICK, "Hop")
        assert "could not be opened: 127.0.0.1 is outside this environment; its sites are shop.test" in error, status
        assert elsewhere.visits == [] and visitor.seen.url == "http://shop.test/", status
        assert "127.0.0.1 is outside" in await visitor.open("/leave"), status


async def test_links_to_other_hosts_stay_on_the_page(visitor, site):
    for url in ("http://169.254.169.254/latest/meta-data/", "http://localhost.evil/", "http://evil.example/", "https://evil.example/"):
        site.pages["/"] = f"<p>Page</p><a href='{url}'>Away</a>"
        await visitor.open("/")
        assert "is outside this environment" in await visitor.do(Op.CLICK, "Away"), url
        assert visitor.seen.url == "http://shop.test/" and "Page" in visitor.text, url


async def test_links_to_other_schemes_open_nothing(visitor, site):
    for url in ("file:///etc/hostname", "data:text/html,<p>Data</p>", "chrome://version/", "view-source:http://shop.test/"):
        site.pages["/"] = f"<p>Page</p><a href='{url}'>Away</a>"
        await visitor.open("/")
        await visitor.do(Op.CLICK, "Away")
        assert visitor.seen.url == "http://shop.test/" and "Page" in visitor.text, url
        assert "only http and https pages can be opened" in await visitor.do(Op.GOTO, text=url), url


async def test_a_javascript_link_runs_on_its_page_only(visitor, site, elsewhere):
    site.pages |= {
        "/": f"<p id=p>Page</p><a href=\"javascript:p.textContent='done';fetch('http://127.0.0.1:{elsewhere.address[1]}/')\">Run</a>"
    }
    await visitor.open("/")
    await visitor.do(Op.CLICK, "Run")
    assert "done" in visitor.text and elsewhere.visits == []


async def test_a_service_worker_is_not_registered(visitor, site):
    site.pages |= {
        "/": "<p id=p>Page</p><script>navigator.serviceWorker?.register('/sw.js').then(() => p.textContent = 'yes', () => 0)</script>",
        "/sw.js": Response("", media_type="text/javascript"),
    }
    await visitor.open("/")
    assert visitor.text == ["Page"]


async def test_what_is_listed_loads(visitor, site):
    script = "<script>addEventListener('load', () => fetch('/data').then(r => r.text()).then(t => p.textContent = t))</script>"
    site.pages |= {"/": f"<p id=p></p><iframe src=/frame></iframe><img src=/image>{script}", "/frame": "<p>Frame</p>"}
    site.pages |= {"/data": "from fetch", "/image": Response(b"", media_type="image/png")}
    await visitor.open("/")
    assert visitor.text == ["from fetch", "Frame"] and visitor.session.proxy.unreached == []
    assert {"/", "/frame", "/data", "/image"} <= set(site.visits)
    assert ("GET", "http://shop.test/data", 200) in visitor.session.requests

"""A small application for the tests of the text browser, and a visitor who calls its elements by name."""

import sqlite3

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route

from planact.types import Action
from planact_envs.miniweb.browser import TextBrowser, with_database
from planact_envs.observation import render_page

HOME = "http://test.site/"
PAGES = {
    "": """<a href=/two>Two</a> <a href=folder/three?x=1&amp;y=2#part>Three</a> <a href=/hop>Hop</a> <a href=/nope>Missing</a>
        <a href=http://other.site/>Other</a> <a href=http://evil.example/>Evil</a>
        <a href=mailto:a@b.c>Mail</a> <a href=javascript:x()>Script</a>
        <a href=https://test.site/>Secure</a> <a href=/loop>Loop</a> <a href=/leave>Leave</a> <a href=http://[>Broken</a> <a href>Here</a>
        <input title=Lone><button>Idle</button><button disabled>Off</button>""",
    "two": "<a href=/>Home</a><p>two</p>",
    "folder/three": "<a href=four>Four</a>",
    "folder/four": "<p>four</p>",
    "fields": """<form action=/echo>
        <input type=hidden name=h value=1><input title=Text name=t value=old><textarea title=Area name=a>one
two</textarea><input name=e value=x style="display:none"><input title=Nameless><input title=Fixed name=f value=y disabled>
        <select title=Size name=s><option value=1>Small<option value=2 selected>Large<option>Huge size</select>
        <select title=None name=n></select>
        <input type=checkbox title=C name=c value=yes><input type=checkbox title=D name=c checked>
        <input type=radio title=R1 name=r value=1 checked><input type=radio title=R2 name=r value=2><input title=R name=r>
        <input type=file title=File name=z><button name=go value=first>Go</button><button name=go value=second>Other</button>
        <button type=button name=go value=never>Plain</button><button type=reset>Reset</button></form>
        <form action=/echo><input type=radio title=R3 name=r value=3 checked></form>""",
    "forms": """<form method=POST action=/save><input title=Note name=note><button>Save</button></form>
        <form method=post action=http://evil.example/save><input title=Away name=note><button>Send</button></form>
        <form><input title=Same name=q></form><form action=/loop><input title=Looping name=q></form>
        <form method=post action=/print><input title=Print name=note></form>""",
    "bare": """<form action=/echo><input title=First name=a><input title=Second name=b></form>
        <form action=/echo><input title=Single name=s><input type=checkbox title=Box name=x></form>
        <form action=/two><button>Empty</button></form>""",
}


async def page(request):
    return HTMLResponse(PAGES[request.path_params["path"]]) if request.path_params["path"] in PAGES else HTMLResponse("<h1>Gone</h1>", 404)


async def echo(request):
    return HTMLResponse("".join(f"<p>{key}={value}</p>" for key, value in request.query_params.multi_items()))


async def save(request):
    form = (await request.body()).decode()
    with request.state.db as db:
        db.execute("INSERT INTO note (text) VALUES (?)", (form,))
    return RedirectResponse("/two", 303)


async def show(request):
    return HTMLResponse(f"<p>{request.method} {(await request.body()).decode()}</p>")


async def loop(request):
    return RedirectResponse("/loop")


async def hops(request):
    left = request.path_params["left"]
    return RedirectResponse(f"/hops/{left - 1}" if left else "/two")


APP = Starlette(
    routes=[
        Route("/echo", echo),
        Route("/save", save, methods=["POST"]),
        Route("/print", show, methods=["GET", "POST"]),
        Route("/loop", loop),
        Route("/hop", lambda request: RedirectResponse("/two", 303)),
        Route("/hops/{left:int}", hops),
        Route("/leave", lambda request: RedirectResponse("http://evil.example/two")),
        Route("/{path:path}", page),
    ]
)


class Visitor:
    """A browser on a fresh database, whose elements are named instead of numbered."""

    def __init__(self):
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        self.db.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
        self.db.commit()
        self.browser = TextBrowser(with_database(APP, self.db), frozenset({"test.site", "other.site"}))

    async def do(self, op, name="", text=""):
        await self.browser.act(Action(op, self.id(name) if name else "", text))

    def id(self, name):
        return next((key for key, node in self.browser.tab.page.nodes.items() if node.name == name), name)

    def node(self, name):
        return self.browser.tab.page.nodes[self.id(name)]

    @property
    def path(self):
        return self.browser.tab.url.removeprefix("http://test.site")

    @property
    def text(self):
        return render_page(self.browser.tab.page.root, "", "short").split("\n")[1:]

    def everything(self):
        """All that an action may change."""
        tabs = [(tab.history[:], tab.position, tab.url, tab.html, dict(tab.values), tab.focus) for tab in self.browser.tabs]
        texts = [render_page(tab.page.root, tab.page.title, "axtree") for tab in self.browser.tabs]
        return tabs, texts, self.browser.current, self.db.serialize()


@pytest.fixture
async def visitor():
    visitor = Visitor()
    await visitor.browser.goto(HOME)
    yield visitor
    visitor.db.close()

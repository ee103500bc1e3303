"""Small sites of the build of WebArena's, each on a port of its own of 127.0.0.1, and the forms to sign in to them."""

import socket
import threading
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import Route

from planact_envs.webarena.login import FORMS
from planact_envs.webarena.sites import PUBLISHED


@dataclass
class Sites:
    """What the sites hold. Each site is served on a port of its own; a cookie's name tells who is signed in where."""

    wishes: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def page(self, body, title="Site"):
        return HTMLResponse(f"<html><head><title>{title}</title></head><body>{body}</body></html>")

    def login(self, site):
        form = FORMS[site]

        async def answer(request):
            if request.method == "GET" and request.cookies.get(site):
                return self.page(f"<p>{site} as {request.cookies[site]}</p>")
            given = dict(parse_qsl((await request.body()).decode()))
            if (given.get(form.username), given.get(form.password)) == PUBLISHED[site]:
                self.logins.append(site)
                response = RedirectResponse("/", 303)
                response.set_cookie(site, "somebody")
                return response
            fields = f'<input name="{form.username}" title=User><input type=password name="{form.password}" title=Pass>'
            return self.page(f"<form method=post>{fields}<button>Sign in</button></form>")

        return Route(form.path or "/", answer, methods=["GET", "POST"])

    def shop(self):
        async def home(request):
            return self.page(f"<p>Hello {request.cookies.get('shopping', 'stranger')}</p><a href=/lamp>Lamp</a><a href=/chair>Chair</a>")

        async def lamp(request):
            if request.method == "POST":
                self.wishes.append("Lamp")
            return self.page("<b>Lamp</b> $39.64 <form method=post><button>Add to Wish List</button></form>", "Lamp")

        async def wishes(request):
            items = "".join(f"<li>{wish}</li>" for wish in self.wishes)
            return self.page(f'<ol class="products-grid wishlist">{items}</ol>' if request.cookies.get("shopping") else "Sign in first")

        async def order(request):
            return self.page(f'<div class="order-details-items ordered">Order {request.path_params["number"]}: Lamp</div>')

        async def product(request):  # as in Magento's admin panel, with a part that opens on a click
            opens = "this.nextSibling.hidden = false"
            more = f'<span class=title onclick="{opens}">More</span><p hidden class=inner>second part</p>'
            return self.page(f'<input name="product[price]" value="39.64" title=Price>{more}<p class=other>&amp;amp; text</p>')

        async def token(request):
            known = await request.json() == dict(zip(("username", "password"), PUBLISHED["shopping_admin"], strict=True))
            return JSONResponse("the-token" if known else {"message": "no"}, 200 if known else 401)

        async def rest(request):
            if request.headers.get("authorization") != "Bearer the-token":
                return JSONResponse({}, 401)
            reviews = [{"nickname": "Ann", "ratings": [{"percent": 20}]}, {"nickname": "Bob", "ratings": [{"percent": 80}]}]
            return JSONResponse(reviews if "reviews" in request.url.path else {"items": [{"increment_id": "000000170"}]})

        methods = ["GET", "POST"]
        return [
            Route("/", home), Route("/lamp", lamp, methods=methods), Route("/chair", lamp), Route("/wishlist/", wishes),
            Route("/sales/order/view/order_id/{number}/", order), Route("/product", product),
            Route("/rest/default/V1/integration/admin/token", token, methods=methods),
            Route("/rest/V1/orders", rest), Route("/rest/V1/products/{sku}/reviews", rest), self.login("shopping"),
        ]  # fmt: skip

    def forum(self):
        async def post(request):
            if request.method == "POST":
                self.comments.append(dict(parse_qsl((await request.body()).decode()))["comment"])
                return RedirectResponse("/f/books/7/title/comment", 303)
            text = "".join(f"<p>{comment}</p>" for comment in self.comments)
            form = "<form method=post><textarea name=comment title=Comment></textarea><button>Post</button></form>"
            return self.page(f"<div class=submission__inner>{text}</div>{form}")

        async def comment(request):
            return self.page("<p>Thank you</p>")

        async def home(request):
            return self.page(f"<p>Hello {request.cookies.get('reddit', 'stranger')}</p>")

        posts = [Route(path, post, methods=["GET", "POST"]) for path in ("/f/books/7/", "/f/books/7/title")]
        return [Route("/", home), *posts, Route("/f/books/7/title/comment", comment), self.login("reddit")]

    def code(self):
        async def team(request):
            rows = "".join(
                f"<tr><td data-label=Account><span class=gl-avatar-labeled-sublabel>@{name}</span>"
                f"<td class=col-max-role><span>{role}</span>"
                for name, role in (("koush", "Owner"), ("vinta", "Guest"))
            )
            return self.page(f"<table>{rows}</table>")

        return [Route("/", team), Route("/team", team), Route("/dashboard/todos", team), self.login("gitlab")]


class Served:
    """Each list of routes on a port of its own."""

    def __init__(self, *sites):
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in sites]
        self.urls = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in self.sockets]
        apps = [Starlette(routes=routes) for routes in sites]
        self.servers = [uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off")) for app in apps]
        self.threads = [
            threading.Thread(target=server.run, kwargs={"sockets": [one]}, daemon=True)
            for server, one in zip(self.servers, self.sockets, strict=True)
        ]
        for thread in self.threads:
            thread.start()

    def stop(self):
        for server in self.servers:
            server.should_exit = True
        for thread in self.threads:
            thread.join(10)


@pytest.fixture(scope="session")
def serve():
    """A function that serves lists of routes and gives back the address of each."""
    served = []

    def serve_(*sites):
        served.append(Served(*sites))
        return served[-1].urls

    yield serve_
    for one in served:
        one.stop()


@pytest.fixture(scope="module")
def sites(serve):
    """What the sites hold, and the variables that say where they are."""
    held = Sites()
    urls = serve(held.shop(), held.forum(), held.code())
    return held, {**dict(zip(("SHOPPING", "REDDIT", "GITLAB"), urls, strict=True)), "MAP": "todo"}


@pytest.fixture(scope="session")
def entry():
    """A function that makes an entry of a task file."""
    kinds = {"reference_answers": "string_match", "reference_url": "url_match", "program_html": "program_html"}

    def entry_(number, intent, site, start, evaluation, login=True):
        whole = {"reference_answers": None, "reference_url": "", "program_html": []} | evaluation
        return {
            "sites": [site],
            "task_id": number,
            "storage_state": f"./.auth/{site}_state.json" if login else None,
            "start_url": start,
            "geolocation": None,
            "intent": intent,
            "intent_template_id": number,
            "eval": whole | {"eval_types": [kind for key, kind in kinds.items() if key in evaluation]},
        }

    return entry_

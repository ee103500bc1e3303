"""What the handlers of all sites share: rendering a page, reading a form, cutting a list into pages, answering a post."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from planact_envs.miniweb.database import Row

PAGE_SIZE = 8
MAX_FIELD = 2000  # characters kept of anything that a user types
NOTICES = {  # shown once after a change; the answer to a post names one in its URL, so that pages need no session
    "cart": "Added to your cart.",
    "uncart": "Removed from your cart.",
    "order": "Thank you, your order has been placed.",
    "wish": "Added to your wish list.",
    "unwish": "Removed from your wish list.",
    "review": "Your review has been posted.",
    "account": "Your account has been saved.",
    "no-order": "No order has this number.",
    "vote": "You upvoted this post.",
    "unvote": "Your upvote has been removed.",
    "subscribed": "You are subscribed now.",
    "unsubscribed": "You are no longer subscribed.",
    "comment": "Your comment has been added.",
    "post": "Your post has been published.",
    "star": "You starred this project.",
    "unstar": "Your star has been removed.",
    "issue": "The issue has been opened.",
    "closed": "The issue has been closed.",
    "reopened": "The issue has been opened again.",
    "assigned": "The assignee has been saved.",
    "joined": "You joined this community.",
    "left": "You left this community.",
    "thread": "Your thread has been published.",
    "reply": "Your reply has been added.",
    "crosspost": "The thread has been crossposted.",
    "basket": "Put in your outlet basket.",
    "unbasket": "Removed from your outlet basket.",
    "sold-out": "This item is sold out.",
    "order-status": "The status has been saved.",
    "order-tracking": "The tracking number has been saved.",
    "order-note": "The note has been added.",
    "product": "The product has been saved.",
    "product-form": "The product needs a name of its own, a price such as 12.50 and a stock in pieces.",
    "review-approved": "The review is in the shop now.",
    "review-deleted": "The review has been deleted.",
    "coupon": "The coupon has been created.",
    "coupon-form": "The coupon needs a new code of capital letters and digits.",
    "coupon-disabled": "The coupon has been disabled.",
    "saved": "This place is saved.",
    "unsaved": "This place is no longer saved.",
    "place-note": "Your note has been saved.",
    "report": "Thank you, your report has been sent.",
    "ticket-closed": "The ticket has been closed.",
    "ticket-saved": "The ticket has been saved.",
    "empty": "Please fill in all fields.",
    "quantity": "The quantity must be from 1 to 5.",
}

_loader = FileSystemLoader(Path(__file__).parent / "templates")
_templates = Environment(loader=_loader, autoescape=True, undefined=StrictUndefined, auto_reload=False)


def page(request: Request, template: str, *, title: str, status: int = 200, **context: Any) -> Response:
    """Render `template`. Its first heading is `title`."""
    notice = NOTICES.get(request.query_params.get("done", ""), "")
    html = _templates.get_template(template).render(title=title, notice=notice, **context)
    return HTMLResponse(html, status)


def not_found(site: str):
    """An exception handler: a page of `site` that says that there is no such page."""

    async def handler(request: Request, error: Exception) -> Response:
        return page(request, f"{site}/missing.html", title="Page not found", status=getattr(error, "status_code", 404))

    return handler


def done(path: str, notice: str) -> Response:
    """The answer to a post: go to `path` and show the notice of that name."""
    return RedirectResponse(f"{path}?{urlencode({'done': notice})}", 303)


async def form(request: Request) -> dict[str, str]:
    """The fields of a urlencoded form, trimmed; of a field sent twice the first value."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0].strip()[:MAX_FIELD] for name, values in fields.items()}


def paginate(request: Request, found: list[Row], size: int = PAGE_SIZE) -> dict[str, Any]:
    """One page of a list: "items", and "previous" and "next" as URLs or None."""
    pages = max(1, math.ceil(len(found) / size))
    asked = request.query_params.get("page", "1")
    number = min(max(int(asked), 1), pages) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 1
    kept = {name: value for name, value in request.query_params.items() if name not in ("page", "done")}

    def link(to: int) -> str | None:
        return f"{request.url.path}?{urlencode({**kept, 'page': to})}" if 1 <= to <= pages else None

    return {"items": found[(number - 1) * size : number * size], "number": number, "previous": link(number - 1), "next": link(number + 1)}


def best_matches(query: str, found: list[Row], words_of, limit: int = PAGE_SIZE) -> list[Row]:
    """The rows that share most words with `query` (all that share one when there is room), in the order of `found`.

    Rows with fewer words in common come along, as in real search results: the right one has to be found by its name.
    """
    asked = set(query.lower().split())
    shared = [(len(asked & words_of(row)), i) for i, row in enumerate(found)]
    best = sorted((-count, i) for count, i in shared if count)[:limit]
    return [found[i] for i in sorted(i for _, i in best)]

"""The shop's outlet, http://shop.miniweb/outlet: items, their basket, and a checkout with a notice before it."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planact_envs.miniweb.content.people import TODAY
from planact_envs.miniweb.content.shop_outlet import DELIVERIES
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import best_matches, done, form, page, paginate

BASKET = "SELECT name, price, code FROM shop_outlet_basket JOIN shop_outlet_item USING (code) ORDER BY shop_outlet_basket.id"


async def welcome(request: Request) -> Response:
    return page(request, "shop/outlet_notice.html", title="Welcome to the outlet", text="All items are single pieces.", to="/outlet/items")


async def items(request: Request) -> Response:
    query = request.query_params.get("q", "").strip()
    found = rows(request.state.db, "SELECT * FROM shop_outlet_item ORDER BY name")
    if query:
        found = best_matches(query, found, lambda item: set(item["name"].lower().split()))
    return page(request, "shop/outlet_items.html", title="Outlet items", query=query, page=paginate(request, found))


def known_item(request: Request, code: str) -> Row:
    """Raises 404 when there is no such item."""
    found = one(request.state.db, "SELECT * FROM shop_outlet_item WHERE code = ?", code)
    if found is None:
        raise HTTPException(404)
    return found


async def item(request: Request) -> Response:
    found = known_item(request, request.path_params["code"])
    return page(request, "shop/outlet_item.html", title=found["name"], item=found)


async def basket_add(request: Request) -> Response:
    found = known_item(request, (await form(request)).get("code", ""))
    if not found["stock"]:
        return done(f"/outlet/item/{found['code']}", "sold-out")
    with request.state.db as db:
        if one(db, "SELECT 1 FROM shop_outlet_basket WHERE code = ?", found["code"]) is None:
            db.execute("INSERT INTO shop_outlet_basket (code) VALUES (?)", (found["code"],))
    return done("/outlet/basket", "basket")


async def basket(request: Request) -> Response:
    return page(request, "shop/outlet_basket.html", title="Your outlet basket", page=paginate(request, rows(request.state.db, BASKET)))


async def basket_remove(request: Request) -> Response:
    found = known_item(request, (await form(request)).get("code", ""))
    with request.state.db as db:
        db.execute("DELETE FROM shop_outlet_basket WHERE code = ?", (found["code"],))
    return done("/outlet/basket", "unbasket")


async def checkout(request: Request) -> Response:
    text = "Outlet items cannot be returned."
    return page(request, "shop/outlet_notice.html", title="Before you order", text=text, to="/outlet/delivery")


async def delivery(request: Request) -> Response:
    return page(request, "shop/outlet_delivery.html", title="Delivery", deliveries=DELIVERIES)


async def order(request: Request) -> Response:
    chosen, lines = (await form(request)).get("delivery", ""), rows(request.state.db, BASKET)
    if chosen not in DELIVERIES or not lines:
        return done("/outlet/basket", "empty")
    with request.state.db as db:
        for line in lines:
            db.execute("INSERT INTO shop_outlet_order (code, delivery, created) VALUES (?, ?, ?)", (line["code"], chosen, TODAY))
        db.execute("DELETE FROM shop_outlet_basket")
    return done("/outlet/orders", "order")


async def orders(request: Request) -> Response:
    sql = "SELECT name, code, delivery FROM shop_outlet_order JOIN shop_outlet_item USING (code) ORDER BY shop_outlet_order.id DESC"
    return page(request, "shop/outlet_orders.html", title="Your outlet orders", page=paginate(request, rows(request.state.db, sql)))


ROUTES = [
    Route("/outlet", welcome),
    Route("/outlet/items", items),
    Route("/outlet/item/{code}", item),
    Route("/outlet/basket", basket),
    Route("/outlet/basket", basket_add, methods=["POST"]),
    Route("/outlet/basket/remove", basket_remove, methods=["POST"]),
    Route("/outlet/checkout", checkout),
    Route("/outlet/delivery", delivery),
    Route("/outlet/orders", orders),
    Route("/outlet/orders", order, methods=["POST"]),
]

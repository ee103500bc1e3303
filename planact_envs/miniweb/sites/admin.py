"""The shop's admin panel, http://admin.miniweb/: orders, customers and the dashboard. Products and the rest are in admin_goods.py."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planact_envs.miniweb.content.admin import STATUSES
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites import admin_goods
from planact_envs.miniweb.sites.pages import best_matches, done, form, page, paginate

NEWEST = "ORDER BY CAST(number AS INTEGER) DESC"


async def dashboard(request: Request) -> Response:
    db = request.state.db
    waiting = one(db, "SELECT count(*) AS n FROM every_order WHERE status = 'Pending'")["n"]
    reviews = one(db, "SELECT count(*) AS n FROM admin_review")["n"]
    newest = rows(db, f"SELECT * FROM every_order {NEWEST} LIMIT 4")
    return page(request, "admin/home.html", title="Fernhill Admin", waiting=waiting, reviews=reviews, orders=newest)


async def orders(request: Request) -> Response:
    status = request.query_params.get("status", "All")
    where = "WHERE status = ?" if status in STATUSES else "WHERE 1 OR ?"
    found = rows(request.state.db, f"SELECT * FROM every_order {where} {NEWEST}", status)
    return page(request, "admin/orders.html", title="All orders", page=paginate(request, found), statuses=("All", *STATUSES), chosen=status)


async def order_find(request: Request) -> Response:
    number = request.query_params.get("number", "").strip()
    if one(request.state.db, "SELECT 1 FROM every_order WHERE number = ?", number) is None:
        return done("/orders", "no-order")
    return RedirectResponse(f"/order/{number}", 303)


def asked_order(request: Request) -> Row:
    """The order in the path. Raises 404."""
    found = one(request.state.db, "SELECT * FROM every_order WHERE number = ?", request.path_params["number"])
    if found is None:
        raise HTTPException(404)
    return found


async def order(request: Request) -> Response:
    db, found = request.state.db, asked_order(request)
    items = rows(db, "SELECT product, quantity FROM every_item WHERE number = ?", found["number"])
    notes = rows(db, "SELECT body FROM admin_note WHERE number = ? ORDER BY id", found["number"])
    buyer = one(db, "SELECT id FROM admin_customer WHERE name = ?", found["customer"])
    context = {"order": found, "items": items, "notes": notes, "buyer": buyer, "statuses": STATUSES}
    return page(request, "admin/order.html", title=f"Order {found['number']}", **context)


def change_order(request: Request, number: str, column: str, value: str) -> None:
    """Orders of the user are the shop's, all others the panel's. `column` is a name of this module."""
    with request.state.db as db:
        for table in ("admin_order", "shop_order"):
            db.execute(f"UPDATE {table} SET {column} = ? WHERE number = ?", (value, number))


async def order_status(request: Request) -> Response:
    number, status = asked_order(request)["number"], (await form(request)).get("status", "")
    if status not in STATUSES:
        return done(f"/order/{number}", "empty")
    change_order(request, number, "status", status)
    return done(f"/order/{number}", "order-status")


async def order_tracking(request: Request) -> Response:
    number, tracking = asked_order(request)["number"], (await form(request)).get("tracking", "")
    if not tracking:
        return done(f"/order/{number}", "empty")
    change_order(request, number, "tracking", tracking)
    return done(f"/order/{number}", "order-tracking")


async def order_note(request: Request) -> Response:
    number, body = asked_order(request)["number"], (await form(request)).get("note", "")
    if not body:
        return done(f"/order/{number}", "empty")
    with request.state.db as db:
        db.execute("INSERT INTO admin_note (number, body) VALUES (?, ?)", (number, body))
    return done(f"/order/{number}", "order-note")


async def customers(request: Request) -> Response:
    query = request.query_params.get("q", "").strip()
    found = rows(request.state.db, "SELECT * FROM admin_customer ORDER BY name")
    if query:
        found = best_matches(query, found, lambda customer: {*f"{customer['name']} {customer['city']}".lower().split()})
    return page(request, "admin/customers.html", title="Customers", query=query, page=paginate(request, found))


async def customer(request: Request) -> Response:
    found = one(request.state.db, "SELECT * FROM admin_customer WHERE id = ?", request.path_params["id"])
    if found is None:
        raise HTTPException(404)
    placed = rows(request.state.db, f"SELECT * FROM every_order WHERE customer = ? {NEWEST}", found["name"])
    return page(request, "admin/customer.html", title=found["name"], customer=found, page=paginate(request, placed))


ROUTES = [
    Route("/", dashboard),
    Route("/orders", orders),
    Route("/orders/find", order_find),
    Route("/order/{number}", order),
    Route("/order/{number}/status", order_status, methods=["POST"]),
    Route("/order/{number}/tracking", order_tracking, methods=["POST"]),
    Route("/order/{number}/note", order_note, methods=["POST"]),
    Route("/customers", customers),
    Route("/customer/{id}", customer),
    *admin_goods.ROUTES,
]

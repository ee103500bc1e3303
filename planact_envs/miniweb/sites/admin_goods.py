"""The admin panel's pages about what the shop sells: products, waiting reviews, coupons and sales reports."""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planact_envs.miniweb.content.admin import PERCENTS, REPORT_MONTHS
from planact_envs.miniweb.content.shop import KINDS, cents, money
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import best_matches, done, form, page, paginate

PRICE = re.compile(r"\$?(\d{1,4}\.\d\d)")
CODE = re.compile(r"[A-Z][A-Z0-9]{2,19}")
CATEGORIES = tuple(KINDS)


async def products(request: Request) -> Response:
    query = request.query_params.get("q", "").strip()
    found = rows(request.state.db, "SELECT * FROM shop_product ORDER BY name")
    if query:
        found = best_matches(query, found, lambda product: {product["sku"].lower(), *product["name"].lower().split()})
    return page(request, "admin/products.html", title="All products", query=query, page=paginate(request, found))


def asked_product(request: Request) -> Row:
    """The product in the path. Raises 404."""
    found = one(request.state.db, "SELECT * FROM shop_product WHERE sku = ?", request.path_params["sku"])
    if found is None:
        raise HTTPException(404)
    return found


async def product(request: Request) -> Response:
    found = asked_product(request)
    return page(request, "admin/product.html", title=found["name"], product=found)


async def product_edit(request: Request) -> Response:
    found = asked_product(request)
    return page(request, "admin/product_edit.html", title=f"Edit {found['name']}", product=found)


async def product_save(request: Request) -> Response:
    found, fields = asked_product(request), await form(request)
    name, price, stock = fields.get("name", ""), PRICE.fullmatch(fields.get("price", "")), fields.get("stock", "")
    taken = one(request.state.db, "SELECT 1 FROM shop_product WHERE name = ? AND sku <> ?", name, found["sku"])
    if not name or taken or not price or not re.fullmatch(r"[0-9]{1,4}", stock):
        return done(f"/product/{found['sku']}/edit", "product-form")
    with request.state.db as db:
        values = (name, f"${price[1]}", int(stock), found["sku"])
        db.execute("UPDATE shop_product SET name = ?, price = ?, stock = ? WHERE sku = ?", values)
    return done(f"/product/{found['sku']}", "product")


async def reviews(request: Request) -> Response:
    found = rows(request.state.db, "SELECT * FROM admin_review ORDER BY id")
    return page(request, "admin/reviews.html", title="Waiting reviews", page=paginate(request, found))


def asked_review(request: Request) -> Row:
    """The waiting review in the path. Raises 404."""
    sql = "SELECT admin_review.*, name FROM admin_review JOIN shop_product USING (sku) WHERE admin_review.id = ?"
    found = one(request.state.db, sql, request.path_params["id"])
    if found is None:
        raise HTTPException(404)
    return found


async def review(request: Request) -> Response:
    found = asked_review(request)
    return page(request, "admin/review.html", title=f"Review {found['id']}", review=found)


async def review_approve(request: Request) -> Response:
    """An approved review is the shop's."""
    found = asked_review(request)
    with request.state.db as db:
        values = [found[name] for name in ("sku", "author", "rating", "body")]
        db.execute("INSERT INTO shop_review (sku, author, rating, body) VALUES (?, ?, ?, ?)", values)
        db.execute("DELETE FROM admin_review WHERE id = ?", (found["id"],))
    return done("/reviews", "review-approved")


async def review_delete(request: Request) -> Response:
    found = asked_review(request)
    with request.state.db as db:
        db.execute("DELETE FROM admin_review WHERE id = ?", (found["id"],))
    return done("/reviews", "review-deleted")


async def coupons(request: Request) -> Response:
    found = rows(request.state.db, "SELECT * FROM admin_coupon ORDER BY code")
    return page(request, "admin/coupons.html", title="Coupons", page=paginate(request, found))


async def coupon_new(request: Request) -> Response:
    return page(request, "admin/coupon_new.html", title="New coupon", percents=PERCENTS, categories=CATEGORIES)


async def coupon_create(request: Request) -> Response:
    fields = await form(request)
    code, percent, category = (fields.get(name, "") for name in ("code", "percent", "category"))
    taken = one(request.state.db, "SELECT 1 FROM admin_coupon WHERE code = ?", code)
    if taken or not CODE.fullmatch(code) or percent not in map(str, PERCENTS) or category not in CATEGORIES:
        return done("/coupons/new", "coupon-form")
    with request.state.db as db:
        row = (code, int(percent), category, "active")
        db.execute("INSERT INTO admin_coupon (code, percent, category, state) VALUES (?, ?, ?, ?)", row)
    return done("/coupons", "coupon")


def asked_coupon(request: Request) -> Row:
    """The coupon in the path. Raises 404."""
    found = one(request.state.db, "SELECT * FROM admin_coupon WHERE code = ?", request.path_params["code"])
    if found is None:
        raise HTTPException(404)
    return found


async def coupon(request: Request) -> Response:
    found = asked_coupon(request)
    return page(request, "admin/coupon.html", title=f"Coupon {found['code']}", coupon=found)


async def coupon_ask(request: Request) -> Response:
    found = asked_coupon(request)
    return page(request, "admin/coupon_ask.html", title=f"Disable {found['code']}", coupon=found)


async def coupon_disable(request: Request) -> Response:
    found = asked_coupon(request)
    with request.state.db as db:
        db.execute("UPDATE admin_coupon SET state = 'disabled' WHERE code = ?", (found["code"],))
    return done(f"/coupon/{found['code']}", "coupon-disabled")


async def reports(request: Request) -> Response:
    return page(request, "admin/reports.html", title="Before you read the reports")


async def sales(request: Request) -> Response:
    """The sales of one category in one month; without a choice only the form."""
    category, month = (request.query_params.get(name, "") for name in ("category", "month"))
    known = category in CATEGORIES and month in REPORT_MONTHS
    sold = sales_of(request.state.db, category, month) if known else []
    totals = {"units": sum(row["units"] for row in sold), "revenue": money(sum(row["cents"] for row in sold))} if known else None
    title = f"Sales of {category} in {month}" if known else "Sales reports"
    context = {"sold": sold, "totals": totals, "category": category, "month": month}
    return page(request, "admin/sales.html", title=title, categories=CATEGORIES, months=REPORT_MONTHS, **context)


def sales_of(db, category: str, month: str) -> list[Row]:
    """Each product of the category that was ordered in the month: "name", "units", and "cents" at today's price."""
    sql = """SELECT name, price, sum(quantity) AS units FROM every_item JOIN every_order USING (number)
        JOIN shop_product ON name = product WHERE category = ? AND created LIKE ? GROUP BY name ORDER BY name"""
    return [row | {"cents": cents(row["price"]) * row["units"]} for row in rows(db, sql, category, f"% {month}")]


ROUTES = [
    Route("/products", products),
    Route("/product/{sku}", product),
    Route("/product/{sku}/edit", product_edit),
    Route("/product/{sku}", product_save, methods=["POST"]),
    Route("/reviews", reviews),
    Route("/review/{id}", review),
    Route("/review/{id}/approve", review_approve, methods=["POST"]),
    Route("/review/{id}/delete", review_delete, methods=["POST"]),
    Route("/coupons", coupons),
    Route("/coupons/new", coupon_new),
    Route("/coupons", coupon_create, methods=["POST"]),
    Route("/coupon/{code}", coupon),
    Route("/coupon/{code}/disable", coupon_ask),
    Route("/coupon/{code}/disable", coupon_disable, methods=["POST"]),
    Route("/reports", reports),
    Route("/reports/sales", sales),
]

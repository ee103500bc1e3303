"""The shop, http://shop.miniweb/."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.content.shop import cents, money
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites import shop_outlet
from planact_envs.miniweb.sites.pages import best_matches, done, form, page, paginate

QUANTITIES = ("1", "2", "3", "4", "5")
RATINGS = ("5", "4", "3", "2", "1")


async def home(request: Request) -> Response:
    categories = rows(request.state.db, "SELECT * FROM shop_category ORDER BY id")
    featured = rows(request.state.db, "SELECT * FROM shop_product WHERE featured ORDER BY id")
    return page(request, "shop/home.html", title="Fernhill Store", categories=categories, featured=featured)


async def category(request: Request) -> Response:
    found = one(request.state.db, "SELECT * FROM shop_category WHERE slug = ?", request.path_params["slug"])
    if found is None:
        raise HTTPException(404)
    products = rows(request.state.db, "SELECT * FROM shop_product WHERE category = ? ORDER BY name", found["title"])
    return page(request, "shop/list.html", title=found["title"], query="", page=paginate(request, products))


async def search(request: Request) -> Response:
    query = request.query_params.get("q", "").strip()
    products = rows(request.state.db, "SELECT * FROM shop_product ORDER BY name")
    found = best_matches(query, products, search_words)
    return page(request, "shop/list.html", title="Search results", query=query, page=paginate(request, found))


def search_words(product: Row) -> set[str]:
    return {product["sku"].lower(), product["brand"].lower(), *product["name"].lower().split()}


async def product(request: Request) -> Response:
    found = one(request.state.db, "SELECT * FROM shop_product WHERE sku = ?", request.path_params["sku"])
    if found is None:
        raise HTTPException(404)
    reviews = rows(request.state.db, "SELECT * FROM shop_review WHERE sku = ? ORDER BY id DESC LIMIT 3", found["sku"])
    slug = one(request.state.db, "SELECT slug FROM shop_category WHERE title = ?", found["category"])["slug"]
    context = {"product": found, "reviews": reviews, "slug": slug, "quantities": QUANTITIES, "ratings": RATINGS}
    return page(request, "shop/product.html", title=found["name"], **context)


async def posted_product(request: Request) -> tuple[dict[str, str], str]:
    """The posted fields and the SKU among them. Raises 404 when there is no such product."""
    fields = await form(request)
    sku = fields.get("sku", "")
    if one(request.state.db, "SELECT 1 FROM shop_product WHERE sku = ?", sku) is None:
        raise HTTPException(404)
    return fields, sku


async def cart(request: Request) -> Response:
    lines = rows(
        request.state.db,
        "SELECT name, price, shop_cart.sku, quantity FROM shop_cart JOIN shop_product USING (sku) ORDER BY shop_cart.id",
    )
    return page(request, "shop/cart.html", title="Your cart", page=paginate(request, lines), total=total(lines))


def total(lines: list[Row]) -> str:
    return money(sum(cents(line["price"]) * line["quantity"] for line in lines))


async def cart_add(request: Request) -> Response:
    fields, sku = await posted_product(request)
    if fields.get("quantity") not in QUANTITIES:
        return done(f"/product/{sku}", "quantity")
    with request.state.db as db:
        if one(db, "SELECT 1 FROM shop_cart WHERE sku = ?", sku):
            db.execute("UPDATE shop_cart SET quantity = quantity + ? WHERE sku = ?", (int(fields["quantity"]), sku))
        else:
            db.execute("INSERT INTO shop_cart (sku, quantity) VALUES (?, ?)", (sku, int(fields["quantity"])))
    return done(f"/product/{sku}", "cart")


async def cart_remove(request: Request) -> Response:
    _, sku = await posted_product(request)
    with request.state.db as db:
        db.execute("DELETE FROM shop_cart WHERE sku = ?", (sku,))
    return done("/cart", "uncart")


async def cart_order(request: Request) -> Response:
    db = request.state.db
    lines = rows(db, "SELECT name, price, quantity FROM shop_cart JOIN shop_product USING (sku) ORDER BY shop_cart.id")
    if not lines:
        return done("/cart", "empty")
    number = str(1 + one(db, "SELECT max(CAST(number AS INTEGER)) AS last FROM shop_order")["last"])
    with db:
        db.execute(
            "INSERT INTO shop_order (number, created, status, total, tracking) VALUES (?, ?, ?, ?, ?)",
            (number, TODAY, "Placed", total(lines), "None yet"),
        )
        for line in lines:
            item = (number, line["name"], line["quantity"])
            db.execute("INSERT INTO shop_order_item (number, product, quantity) VALUES (?, ?, ?)", item)
        db.execute("DELETE FROM shop_cart")
    return done(f"/order/{number}", "order")


async def wish_list(request: Request) -> Response:
    wishes = rows(request.state.db, "SELECT name, sku FROM shop_wish JOIN shop_product USING (sku) ORDER BY shop_wish.id")
    return page(request, "shop/wish.html", title="Your wish list", page=paginate(request, wishes))


async def wish_add(request: Request) -> Response:
    _, sku = await posted_product(request)
    with request.state.db as db:
        if one(db, "SELECT 1 FROM shop_wish WHERE sku = ?", sku) is None:
            db.execute("INSERT INTO shop_wish (sku) VALUES (?)", (sku,))
    return done(f"/product/{sku}", "wish")


async def wish_remove(request: Request) -> Response:
    _, sku = await posted_product(request)
    with request.state.db as db:
        db.execute("DELETE FROM shop_wish WHERE sku = ?", (sku,))
    return done("/wish", "unwish")


async def orders(request: Request) -> Response:
    found = rows(request.state.db, "SELECT * FROM shop_order ORDER BY id DESC")
    return page(request, "shop/orders.html", title="Your orders", page=paginate(request, found))


async def order_find(request: Request) -> Response:
    number = request.query_params.get("number", "").strip()
    if one(request.state.db, "SELECT 1 FROM shop_order WHERE number = ?", number) is None:
        return done("/orders", "no-order")
    return RedirectResponse(f"/order/{number}", 303)


async def order(request: Request) -> Response:
    found = one(request.state.db, "SELECT * FROM shop_order WHERE number = ?", request.path_params["number"])
    if found is None:
        raise HTTPException(404)
    items = rows(request.state.db, "SELECT * FROM shop_order_item WHERE number = ? ORDER BY id", found["number"])
    return page(request, "shop/order.html", title=f"Order {found['number']}", order=found, items=items)


async def account(request: Request) -> Response:
    return page(request, "shop/account.html", title="Your account", account=one(request.state.db, "SELECT * FROM shop_account"))


async def account_edit(request: Request) -> Response:
    return page(request, "shop/account_edit.html", title="Edit your account", account=one(request.state.db, "SELECT * FROM shop_account"))


async def account_save(request: Request) -> Response:
    fields = await form(request)
    phone, city = fields.get("phone", ""), fields.get("city", "")
    if not phone or not city:
        return done("/account/edit", "empty")
    with request.state.db as db:
        db.execute("UPDATE shop_account SET phone = ?, city = ?", (phone, city))
    return done("/account", "account")


async def review(request: Request) -> Response:
    fields, sku = await posted_product(request)
    if not fields.get("body") or fields.get("rating") not in RATINGS:
        return done(f"/product/{sku}", "empty")
    with request.state.db as db:
        values = (sku, ME, int(fields["rating"]), fields["body"])
        db.execute("INSERT INTO shop_review (sku, author, rating, body) VALUES (?, ?, ?, ?)", values)
    return done(f"/product/{sku}", "review")


ROUTES = [
    Route("/", home),
    Route("/category/{slug}", category),
    Route("/search", search),
    Route("/product/{sku}", product),
    Route("/cart", cart),
    Route("/cart/add", cart_add, methods=["POST"]),
    Route("/cart/remove", cart_remove, methods=["POST"]),
    Route("/cart/order", cart_order, methods=["POST"]),
    Route("/wish", wish_list),
    Route("/wish/add", wish_add, methods=["POST"]),
    Route("/wish/remove", wish_remove, methods=["POST"]),
    Route("/orders", orders),
    Route("/orders/find", order_find),
    Route("/order/{number}", order),
    Route("/account", account),
    Route("/account", account_save, methods=["POST"]),
    Route("/account/edit", account_edit),
    Route("/review", review, methods=["POST"]),
    *shop_outlet.ROUTES,
]

"""Task templates of the admin panel about what the shop sells: products, waiting reviews and coupons."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.admin import PERCENTS
from planact_envs.miniweb.content.shop import KINDS
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.admin import ADMIN, URL, changed, find_order, find_product
from planact_envs.miniweb.templates.base import Database, Params, Template, changes, report
from planact_envs.miniweb.templates.stages import (
    answer,
    choose,
    conclude,
    fact,
    go,
    open_found,
    open_listed,
    pass_notice,
    plain,
    press,
    stop,
    submit,
    type_,
)


def product(db: Database, name: str) -> Row:
    return one(db, "SELECT * FROM shop_product WHERE name = ?", name)


def edit(**fields: str) -> tuple[Stage, ...]:
    """From a product's page: `fields` are labels in lower case with what to put there."""
    wanted = " and ".join(f"the {name} to '{value}'" for name, value in fields.items())
    moves = [type_(name.capitalize(), value) for name, value in fields.items()]
    form = submit(f"Set {wanted} and save the product.", "The form has a field for each of these.", *moves, press("Save product"))
    return go("Edit product", "The product page has a link for editing."), form


def restock_instances(db: Database) -> list[Params]:
    sql = "SELECT number FROM admin_order_item GROUP BY number HAVING count(*) = 1 ORDER BY number"
    return [{"order": row["number"], "stock": str(100 + 3 * i)} for i, row in enumerate(rows(db, sql))]


def bought(db: Database, params: Params) -> str:
    return one(db, "SELECT product FROM admin_order_item WHERE number = ?", params["order"])["product"]


def restock_solve(db: Database, params: Params) -> Solution:
    wanted, facts = fact("product", bought(db, params), "the product of the order", seen_after=2)
    return Solution((*find_order(params["order"]), *find_product(wanted), *edit(stock=params["stock"]), stop()), facts)


def restock_evaluate(db: Database, params: Params) -> dict[str, Any]:
    row = product(db, bought(db, params))
    change = changed(row, stock=int(params["stock"]))
    return changes({"shop_product": {"changed": [change]}}, url=f"{URL}/product/{row['sku']}", shows=[f"Stock: {params['stock']}"])


def reprice_instances(db: Database) -> list[Params]:
    names = [row["name"] for row in rows(db, "SELECT name FROM shop_product ORDER BY id")]
    half = len(names) // 2
    values = ({"price": f"${96 + i}.20", "stock": str(210 + 7 * i), "other_price": f"${150 + i}.75"} for i in range(half))
    return [{"product": a, "other": b} | more for a, b, more in zip(names, names[half:], values)]


def reprice_solve(db: Database, params: Params) -> Solution:
    first = (*find_product(plain(params["product"])), *edit(price=params["price"], stock=params["stock"]))
    return Solution((*first, *find_product(plain(params["other"])), *edit(price=params["other_price"]), stop()))


def reprice_evaluate(db: Database, params: Params) -> dict[str, Any]:
    first, other = product(db, params["product"]), product(db, params["other"])
    change = [changed(first, price=params["price"], stock=int(params["stock"])), changed(other, price=params["other_price"])]
    url = f"{URL}/product/{other['sku']}"
    return changes({"shop_product": {"changed": sorted(change, key=lambda row: row["id"])}}, url=url, shows=[params["other_price"]])


def lowest_instances(db: Database) -> list[Params]:
    names = [row["name"] for row in rows(db, "SELECT name FROM shop_product ORDER BY stock, id")]
    third = len(names) // 3
    # Of each three, one is from the products with little stock; it stands in any of the three places.
    found = [names[i::third][i % 3 :] + names[i::third][: i % 3] for i in range(third)]
    return [dict(zip(("product", "second", "third"), three)) for three in found]


def lowest(db: Database, params: Params) -> str:
    return min((product(db, name) for name in params.values()), key=lambda row: row["stock"])["sku"]


def lowest_solve(db: Database, params: Params) -> Solution:
    stages = [stage for name in params.values() for stage in find_product(plain(name))]
    return Solution((*stages, conclude("the SKU of the product with the lowest stock", lowest(db, params))))


def lowest_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(lowest(db, params))


def waiting(db: Database) -> list[Row]:
    """The waiting reviews as their list shows them, with the names of the products."""
    return rows(db, "SELECT admin_review.*, name FROM admin_review JOIN shop_product USING (sku) ORDER BY admin_review.id")


def authors(db: Database) -> list[str]:
    return [row["author"] for row in waiting(db)]


def review_of(db: Database, author: str) -> Row:
    return next(row for row in waiting(db) if row["author"] == author)


def open_review(db: Database, author: str, without: str = "") -> Stage:
    """`without` wrote a review that the list does not hold any more."""
    index = [name for name in authors(db) if name != without].index(author)
    link = f"Review {review_of(db, author)['id']}"
    return open_found(f"Find the review by '{author}' in the list and open it.", "review", link, on_page=1 + index // PAGE_SIZE)


def to_reviews() -> Stage:
    return go("Reviews", "Every page has a link to the reviews.")


def delete_review() -> Stage:
    return submit("Delete the review.", "The review page has a button for this.", press("Delete review"))


def removed(row: Row) -> Row:
    return {name: row[name] for name in ("sku", "author", "rating", "body")}


def moderate_instances(db: Database) -> list[Params]:
    names = authors(db)
    return [{"author": a, "other": b} for a, b in zip(names, names[11:] + names[:11])]


def moderate_solve(db: Database, params: Params) -> Solution:
    author, other = params["author"], params["other"]
    approve = submit("Approve the review.", "The review page has a button for this.", press("Approve review"))
    # The answer to an approval is the first page of the list.
    return Solution((to_reviews(), open_review(db, author), approve, open_review(db, other, without=author), delete_review(), stop()))


def moderate_evaluate(db: Database, params: Params) -> dict[str, Any]:
    good, bad = removed(review_of(db, params["author"])), removed(review_of(db, params["other"]))
    left = f"Reviews that wait: {len(waiting(db)) - 2}"
    return changes({"shop_review": {"added": [good]}, "admin_review": {"removed": [good, bad]}}, url=f"{URL}/", shows=[left])


def reviewed_instances(db: Database) -> list[Params]:
    return [{"author": name} for name in authors(db)]


def reviewed(db: Database, author: str) -> tuple[Stage, str, dict]:
    """The stage up to the review's page, the product's name, and what `fact` needs to know about it."""
    stage = open_review(db, author)
    name = review_of(db, author)["name"]
    return stage, name, {"unknown": "the product of the review", "seen_after": 1 + len(stage.moves)}


def reviewed_stock_solve(db: Database, params: Params) -> Solution:
    stage, name, known = reviewed(db, params["author"])
    wanted, facts = fact("product", name, **known)
    return Solution((to_reviews(), stage, *find_product(wanted), answer("stock", str(product(db, name)["stock"]))), facts)


def reviewed_stock_evaluate(db: Database, params: Params) -> dict[str, Any]:
    row = product(db, review_of(db, params["author"])["name"])
    return report(str(row["stock"]), f"{URL}/product/{row['sku']}")


def reviewed_price_instances(db: Database) -> list[Params]:
    return [{"author": name, "price": f"${3 + i}.35"} for i, name in enumerate(authors(db))]


def reviewed_price_solve(db: Database, params: Params) -> Solution:
    stage, name, known = reviewed(db, params["author"])
    wanted, facts = fact("product", name, **known)
    stages = (to_reviews(), stage, delete_review(), *find_product(wanted), *edit(price=params["price"]), stop())
    return Solution(stages, facts)


def reviewed_price_evaluate(db: Database, params: Params) -> dict[str, Any]:
    review = review_of(db, params["author"])
    row = product(db, review["name"])
    database = {"admin_review": {"removed": [removed(review)]}, "shop_product": {"changed": [changed(row, price=params["price"])]}}
    return changes(database, url=f"{URL}/product/{row['sku']}", shows=[f"Price: {params['price']}"])


def coupon_instances(db: Database) -> list[Params]:
    active = [row["code"] for row in rows(db, "SELECT code FROM admin_coupon WHERE state = 'active' ORDER BY code")]
    found = []
    for i, old in enumerate(active * 2):
        new = {"code": f"FRESH{10 + i}", "percent": str(PERCENTS[i % len(PERCENTS)]), "category": tuple(KINDS)[i * 2 % len(KINDS)]}
        found.append(new | {"old": old})
    return found


def coupon_solve(db: Database, params: Params) -> Solution:
    code, percent, category, old = (params[name] for name in ("code", "percent", "category", "old"))
    codes = sorted([code, *(row["code"] for row in rows(db, "SELECT code FROM admin_coupon"))])
    moves = type_("Code", code), choose("Percent", percent), choose("Category", category), press("Create coupon")
    step = f"Set the code to '{code}', the percent to '{percent}' and the category to '{category}' and create the coupon."
    stages = (
        go("Coupons", "Every page has a link to the coupons."),
        go("New coupon", "The coupons page has a link for a new one."),
        submit(step, "The form has a field for each of these.", *moves),
        open_listed("coupon", plain(old), on_page=1 + codes.index(old) // PAGE_SIZE),
        submit("Disable the coupon.", "The coupon page has a button for this.", press("Disable coupon")),
        pass_notice(),
        stop(),
    )
    return Solution(stages)


def coupon_evaluate(db: Database, params: Params) -> dict[str, Any]:
    new = {"code": params["code"], "percent": int(params["percent"]), "category": params["category"], "state": "active"}
    old = one(db, "SELECT * FROM admin_coupon WHERE code = ?", params["old"])
    database = {"admin_coupon": {"added": [new], "changed": [changed(old, state="disabled")]}}
    return changes(database, url=f"{URL}/coupon/{old['code']}", shows=["This coupon is disabled"])


RESTOCK = (
    "The product of the order '{order}' came in again: set its stock to '{stock}'.",
    "Set the stock of what was bought in order '{order}' to '{stock}' pieces.",
    "Order '{order}' was for a product that we now have '{stock}' times. Correct its stock.",
)
REPRICE = (
    "Set the price of '{product}' to '{price}' with a stock of '{stock}', and the price of '{other}' to '{other_price}'.",
    "'{product}' costs '{price}' from today and we have '{stock}' of it; '{other}' costs '{other_price}'. Edit both products.",
    "Edit two products: '{product}' gets the price '{price}' and the stock '{stock}', '{other}' the price '{other_price}'.",
)
LOWEST = (
    "Which of '{product}', '{second}' and '{third}' has the lowest stock? Give me its SKU.",
    "Compare how many pieces of '{product}', '{second}' and '{third}' are left and tell me the SKU of the rarest.",
    "I have to reorder the one of '{product}', '{second}' and '{third}' that we have fewest of. What is its SKU?",
)
MODERATE = (
    "Approve the review by '{author}' and delete the one by '{other}'.",
    "The waiting review of '{author}' is fine, that of '{other}' is not: approve the first, delete the second.",
    "Let the review by '{author}' into the shop and remove the waiting review by '{other}'.",
)
REVIEWED_STOCK = (
    "How many pieces are left of the product that '{author}' reviewed in the waiting review?",
    "'{author}' wrote a review that waits for approval. What is the stock of its product?",
    "Tell me the stock of the product in the waiting review by '{author}'.",
)
REVIEWED_PRICE = (
    "Delete the waiting review by '{author}' and set the price of its product to '{price}'.",
    "'{author}' is right, but rude: remove that waiting review and change the product's price to '{price}'.",
    "Make the product that '{author}' reviewed cost '{price}', and throw the waiting review away first.",
)
COUPON = (
    "Create the coupon '{code}' with {percent} percent off '{category}' and disable the coupon '{old}'.",
    "Replace the coupon '{old}' by a new one, '{code}', for {percent} percent off '{category}': create the new, disable the old.",
    "We need a coupon '{code}' ({percent} percent, category '{category}'). After that, disable '{old}'.",
)
AUTHOR, PRODUCT = ("author",), ("product",)
TEMPLATES = (
    Template("admin.restock", ADMIN, RESTOCK, ("order",), restock_instances, restock_solve, restock_evaluate, "change", weight=3),
    Template("admin.reprice", ADMIN, REPRICE, PRODUCT, reprice_instances, reprice_solve, reprice_evaluate, "change", weight=3),
    Template("admin.lowest", ADMIN, LOWEST, PRODUCT, lowest_instances, lowest_solve, lowest_evaluate, "compare", weight=3),
    Template("admin.moderate", ADMIN, MODERATE, AUTHOR, moderate_instances, moderate_solve, moderate_evaluate, "change", weight=3),
    Template(
        "admin.reviewed_stock",
        ADMIN,
        REVIEWED_STOCK,
        AUTHOR,
        reviewed_instances,
        reviewed_stock_solve,
        reviewed_stock_evaluate,
        "find",
        weight=3,
    ),
    Template(
        "admin.reviewed_price",
        ADMIN,
        REVIEWED_PRICE,
        AUTHOR,
        reviewed_price_instances,
        reviewed_price_solve,
        reviewed_price_evaluate,
        "change",
        unseen=True,
        weight=3,
    ),
    Template("admin.coupon", ADMIN, COUPON, ("old",), coupon_instances, coupon_solve, coupon_evaluate, "change", weight=3),
)

"""Task templates of the shop."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.people import ME
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution
from planact_envs.miniweb.templates.base import Database, Params, Template, change, report
from planact_envs.miniweb.templates.stages import (
    answer,
    choose,
    click,
    fact,
    go,
    open_listed,
    open_result,
    plain,
    press,
    search,
    search_products,
    stop,
    submit,
    type_,
)

URL = "http://shop.miniweb"
OPINIONS = (
    "Works well in my hall", "A fine present", "Not my colour", "Sturdy and simple", "Cheaper than others", "I use it each day",
    "It came with a scratch", "Just what I wanted",
)  # fmt: skip


def product(db: Database, name: str) -> Row:
    return one(db, "SELECT * FROM shop_product WHERE name = ?", name)


def product_by_sku(db: Database, sku: str) -> Row:
    return one(db, "SELECT * FROM shop_product WHERE sku = ?", sku)


def find_product(name: str):
    """The stages from the home page to a product's page: two moves."""
    return search_products(plain(name)), open_result("product", plain(name))


def home():
    return go("Shop home", "The search box is on the home page.")


def all_products(db: Database) -> list[Params]:
    return [{"product": row["name"]} for row in rows(db, "SELECT name FROM shop_product ORDER BY id")]


def price_solve(db: Database, params: Params) -> Solution:
    name = params["product"]
    return Solution((*find_product(name), answer("price", product(db, name)["price"])))


def price_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(product(db, params["product"])["price"])


def sku_instances(db: Database) -> list[Params]:
    sql = "SELECT name, category FROM shop_product WHERE category <> 'Spare Parts' ORDER BY id"
    return [{"product": row["name"], "category": row["category"]} for row in rows(db, sql)]


def sku_solve(db: Database, params: Params) -> Solution:
    name, category = params["product"], params["category"]
    names = [row["name"] for row in rows(db, "SELECT name FROM shop_product WHERE category = ? ORDER BY name", category)]
    stages = (
        submit(f"Open the category '{category}'.", f"The home page lists the category '{category}'.", click(category)),
        open_listed("product", plain(name), on_page=1 + names.index(name) // PAGE_SIZE),
        answer("SKU", product(db, name)["sku"]),
    )
    return Solution(stages)


def sku_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(product(db, params["product"])["sku"])


def add_to_cart(count: str):
    step = f"Set the quantity to '{count}' and add the product to the cart."
    return submit(step, "The product page has a quantity and a cart button.", choose("Quantity", count), press("Add to cart"))


def add_one_to_cart():
    return submit("Add the product to the cart.", "The product page has a cart button.", press("Add to cart"))


def in_cart(row: Row, count: int) -> dict[str, Any]:
    shows = [row["name"], f"quantity {count}"]
    return change("shop_cart", "added", {"sku": row["sku"], "quantity": count}, url=f"{URL}/cart", shows=shows)


def cart_instances(db: Database) -> list[Params]:
    return [params | {"count": str(2 + i % 4)} for i, params in enumerate(all_products(db))]


def cart_solve(db: Database, params: Params) -> Solution:
    return Solution((*find_product(params["product"]), add_to_cart(params["count"]), stop()))


def cart_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return in_cart(product(db, params["product"]), int(params["count"]))


def wish_instances(db: Database) -> list[Params]:
    sql = "SELECT name FROM shop_product WHERE sku NOT IN (SELECT sku FROM shop_wish) ORDER BY id"
    return [{"product": row["name"]} for row in rows(db, sql)]


def wish_solve(db: Database, params: Params) -> Solution:
    add = submit("Add the product to the wish list.", "The product page has a wish list button.", press("Add to wish list"))
    return Solution((*find_product(params["product"]), add, stop()))


def wish_evaluate(db: Database, params: Params) -> dict[str, Any]:
    row = {"sku": product(db, params["product"])["sku"]}
    return change("shop_wish", "added", row, url=f"{URL}/wish", shows=[params["product"]])


def review_instances(db: Database) -> list[Params]:
    extra = ({"rating": str(2 + i % 4), "text": OPINIONS[i * 5 % len(OPINIONS)]} for i in range(len(all_products(db))))
    return [params | more for params, more in zip(all_products(db), extra)]


def review_solve(db: Database, params: Params) -> Solution:
    rating, text = params["rating"], params["text"]
    step = f"Set the rating to '{rating}', write '{text}' and post the review."
    moves = choose("Your rating", rating), type_("Your review", text), press("Post review")
    return Solution((*find_product(params["product"]), submit(step, "The product page has a form for reviews.", *moves), stop()))


def review_evaluate(db: Database, params: Params) -> dict[str, Any]:
    sku = product(db, params["product"])["sku"]
    row = {"sku": sku, "author": ME, "rating": int(params["rating"]), "body": params["text"]}
    return change("shop_review", "added", row, url=f"{URL}/product/{sku}", shows=[params["text"]])


def find_order(number: str):
    """The stages from the home page to an order's page: two moves."""
    find = search("orders", plain(number), "The orders page has a search box.")
    return go("My orders", "The home page has a link to my orders."), find


def tracking_instances(db: Database) -> list[Params]:
    return [{"order": row["number"]} for row in rows(db, "SELECT number FROM shop_order ORDER BY id")]


def tracking(db: Database, params: Params) -> str:
    return one(db, "SELECT tracking FROM shop_order WHERE number = ?", params["order"])["tracking"]


def tracking_solve(db: Database, params: Params) -> Solution:
    return Solution((*find_order(params["order"]), answer("tracking number", tracking(db, params))))


def tracking_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(tracking(db, params))


def account_instances(db: Database) -> list[Params]:
    towns = [row["city"] for row in rows(db, "SELECT city FROM forum_member ORDER BY id")][1:]
    return [{"phone": f"555-{1013 + 37 * i}", "city": town} for i, town in enumerate(towns)]


def account_solve(db: Database, params: Params) -> Solution:
    step = f"Set the phone to '{params['phone']}' and the city to '{params['city']}' and save."
    moves = type_("Phone", params["phone"]), type_("City", params["city"]), press("Save account")
    stages = (
        go("My account", "The home page has a link to my account."),
        go("Edit account", "The account page has a link for editing."),
        submit(step, "The form has a phone and a city field.", *moves),
        stop(),
    )
    return Solution(stages)


def account_evaluate(db: Database, params: Params) -> dict[str, Any]:
    before = one(db, "SELECT id, phone, city FROM shop_account")
    row = {"id": before.pop("id"), "before": before, "after": dict(params)}
    return change("shop_account", "changed", row, url=f"{URL}/account", shows=list(params.values()))


def spare_instances(db: Database) -> list[Params]:
    return [{"product": row["name"]} for row in rows(db, "SELECT name FROM shop_product WHERE part <> '' ORDER BY id")]


def spare_stages(db: Database, params: Params):
    """From the home page to the page of the product's spare part: five moves. Also the part's row and the fact."""
    part = product_by_sku(db, product(db, params["product"])["part"])
    number, facts = fact("part", part["sku"], "the spare part number given there", seen_after=2)
    found = submit("Open the only product in the search results.", "The search found one product.", click(part["name"]))
    return (*find_product(params["product"]), home(), search_products(number), found), part, facts


def spare_solve(db: Database, params: Params) -> Solution:
    stages, _, facts = spare_stages(db, params)
    return Solution((*stages, add_one_to_cart(), stop()), facts)


def spare_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return in_cart(product_by_sku(db, product(db, params["product"])["part"]), 1)


def spare_price_solve(db: Database, params: Params) -> Solution:
    stages, part, facts = spare_stages(db, params)
    return Solution((*stages, answer("price", part["price"])), facts)


def spare_price_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(product_by_sku(db, product(db, params["product"])["part"])["price"])


def reorder_instances(db: Database) -> list[Params]:
    sql = "SELECT number FROM shop_order_item GROUP BY number HAVING count(*) = 1 ORDER BY number"
    return [{"order": row["number"]} for row in rows(db, sql)]


def ordered(db: Database, params: Params) -> str:
    return one(db, "SELECT product FROM shop_order_item WHERE number = ?", params["order"])["product"]


def reorder_solve(db: Database, params: Params) -> Solution:
    wanted, facts = fact("product", ordered(db, params), "the product of the order", seen_after=2)
    stages = (*find_order(params["order"]), home(), search_products(wanted), open_result("product", wanted), add_one_to_cart(), stop())
    return Solution(stages, facts)


def reorder_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return in_cart(product(db, ordered(db, params)), 1)


SHOP = ("shop",)
PRODUCT = ("product",)
ASK_PRICE = (
    "What is the price of the product '{product}'?",
    "How much does '{product}' cost in the shop?",
    "Tell me the price of '{product}'.",
)
ASK_SKU = (
    "What is the SKU of '{product}' in the category '{category}'?",
    "Find '{product}' in the category '{category}' and tell me its SKU.",
    "Which SKU does '{product}' have? It is in the category '{category}'.",
)
CART = (
    "Add {count} pieces of '{product}' to my cart.",
    "Put {count} of the product '{product}' into the cart.",
    "I need {count} of '{product}'. Add them to the cart.",
)
WISH = ("Add '{product}' to my wish list.", "Put the product '{product}' on my wish list.", "Save '{product}' in the wish list.")
REVIEW = (
    "Review '{product}' with the rating {rating} and the text '{text}'.",
    "Post a review of '{product}': rating {rating}, text '{text}'.",
    "Give '{product}' the rating {rating} and write '{text}' as a review.",
)
TRACKING = (
    "What is the tracking number of my order '{order}'?",
    "Tell me the tracking number of the order '{order}'.",
    "Which tracking number does order '{order}' have?",
)
ACCOUNT = (
    "Change my phone to '{phone}' and my city to '{city}'.",
    "I moved to '{city}' and my phone is '{phone}' now. Update my shop account.",
    "Set the phone '{phone}' and the city '{city}' in my account.",
)
SPARE = (
    "Add the spare part of '{product}' to my cart.",
    "Put the spare part that belongs to '{product}' into the cart.",
    "My '{product}' needs its spare part. Add it to the cart.",
)
SPARE_PRICE = (
    "How much does the spare part of '{product}' cost?",
    "What is the price of the spare part that belongs to '{product}'?",
    "Tell me the price of the spare part of '{product}'.",
)
REORDER = (
    "Add the product of my order '{order}' to the cart again.",
    "I want what I bought in order '{order}' once more. Add it to the cart.",
    "Put the product from the order '{order}' into my cart.",
)
TEMPLATES = (
    Template("shop.price", SHOP, ASK_PRICE, PRODUCT, all_products, price_solve, price_evaluate, "find", short=True),
    Template("shop.sku", SHOP, ASK_SKU, PRODUCT, sku_instances, sku_solve, sku_evaluate, "find", short=True),
    Template("shop.cart", SHOP, CART, PRODUCT, cart_instances, cart_solve, cart_evaluate, "change", short=True),
    Template("shop.wish", SHOP, WISH, PRODUCT, wish_instances, wish_solve, wish_evaluate, "change", short=True),
    Template("shop.review", SHOP, REVIEW, PRODUCT, review_instances, review_solve, review_evaluate, "change", short=True),
    Template("shop.tracking", SHOP, TRACKING, ("order",), tracking_instances, tracking_solve, tracking_evaluate, "find", short=True),
    Template("shop.account", SHOP, ACCOUNT, ("phone",), account_instances, account_solve, account_evaluate, "change", short=True),
    Template("shop.spare", SHOP, SPARE, PRODUCT, spare_instances, spare_solve, spare_evaluate, "change", short=True),
    Template("shop.spare_price", SHOP, SPARE_PRICE, PRODUCT, spare_instances, spare_price_solve, spare_price_evaluate, "find", short=True),
    Template("shop.reorder", SHOP, REORDER, ("order",), reorder_instances, reorder_solve, reorder_evaluate, "change", short=True),
)

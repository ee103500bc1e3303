"""Long task templates of the shop: several products or orders, words that the search does not know, and parts that do not exist."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.people import TODAY
from planact_envs.miniweb.content.shop import cents, money
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, changes, end_on, report, report_missing
from planact_envs.miniweb.templates.shop import (
    PRODUCT,
    SHOP,
    URL,
    add_to_cart,
    all_products,
    find_order,
    find_product,
    home,
    in_cart,
    ordered,
    product,
    product_by_sku,
    reorder_instances,
)
from planact_envs.miniweb.templates.stages import (
    answer_if_there,
    click,
    conclude,
    fact,
    go,
    open_found,
    open_result,
    plain,
    press,
    search_products,
    stop,
    stop_on_page,
    submit,
)

OTHER_WORDS = {  # what else people call a kind of product; the shop's search knows none of these words
    "Desk Lamp": "worklight", "Floor Lamp": "uplight", "Wall Light": "sconce", "Night Light": "nightlamp", "Lantern": "lampion",
    "Candle Holder": "candlestick", "Tea Kettle": "teapot", "Bread Box": "breadbin", "Mixing Bowl": "basin", "Pepper Mill": "grinder",
    "Serving Tray": "platter", "Fruit Basket": "fruitbowl", "Plant Pot": "flowerpot", "Bird Feeder": "birdhouse",
    "Garden Bench": "settee", "Hand Rake": "cultivator", "Watering Can": "sprinkler", "Seed Box": "planter", "Desk Tray": "organizer",
    "Pen Holder": "pencilcase", "Book Stand": "lectern", "Wall Clock": "timepiece", "Paper Tray": "sorter", "Letter Rack": "mailholder",
    "Day Bag": "rucksack", "Trunk": "suitcase", "Camp Stool": "footrest", "Lunch Box": "bento", "Travel Mug": "tumbler",
    "Picnic Basket": "hamper",
}  # fmt: skip


def synonym_instances(db: Database) -> list[Params]:
    found = []
    for i, row in enumerate(rows(db, "SELECT name, category FROM shop_product WHERE category <> 'Spare Parts' ORDER BY id")):
        material, kind = row["name"].split(" ", 1)
        found.append({"material": material, "word": OTHER_WORDS[kind], "category": row["category"], "count": str(2 + i % 4)})
    return found


def of_material(db: Database, params: Params) -> Row:
    """A category has one product of each material."""
    return one(db, "SELECT * FROM shop_product WHERE category = ? AND name LIKE ?", params["category"], f"{params['material']} %")


def synonym_solve(db: Database, params: Params) -> Solution:
    category, name = params["category"], of_material(db, params)["name"]
    names = [row["name"] for row in rows(db, "SELECT name FROM shop_product WHERE category = ? ORDER BY name", category)]
    find = f"Find the product of '{params['material']}' in the list and open it."
    stages = (
        search_products(plain(params["word"])),
        home(),
        submit(f"Open the category '{category}'.", f"The home page lists the category '{category}'.", click(category)),
        open_found(find, "product", name, on_page=1 + names.index(name) // PAGE_SIZE),
        add_to_cart(params["count"]),
        stop(),
    )
    return Solution(stages)


def synonym_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return in_cart(of_material(db, params), int(params["count"]))


def two_instances(db: Database) -> list[Params]:
    names = [params["product"] for params in all_products(db)]
    pairs = zip(names[::2], names[1::2][7:] + names[1::2][:7])
    return [{"product": a, "count": str(1 + i % 5), "other": b, "other_count": str(1 + i * 3 % 5)} for i, (a, b) in enumerate(pairs)]


def two_solve(db: Database, params: Params) -> Solution:
    buy = (*find_product(params["product"]), add_to_cart(params["count"]))
    buy += (home(), *find_product(params["other"]), add_to_cart(params["other_count"]))
    order = submit("Place the order.", "The cart has a button for this.", press("Place order"))
    return Solution((*buy, go("Cart", "Every page has a link to the cart."), order, stop()))


def two_evaluate(db: Database, params: Params) -> dict[str, Any]:
    bought = [(params["product"], int(params["count"])), (params["other"], int(params["other_count"]))]
    number = str(1 + one(db, "SELECT max(CAST(number AS INTEGER)) AS last FROM shop_order")["last"])
    total = money(sum(cents(product(db, name)["price"]) * count for name, count in bought))
    order = {"number": number, "created": TODAY, "status": "Placed", "total": total, "tracking": "None yet"}
    items = [{"number": number, "product": name, "quantity": count} for name, count in bought]
    shows = [f"{count} x {name}" for name, count in bought]
    return changes({"shop_order": {"added": [order]}, "shop_order_item": {"added": items}}, url=f"{URL}/order/{number}", shows=shows)


def cheapest_instances(db: Database) -> list[Params]:
    names = [params["product"] for params in all_products(db)]
    third = len(names) // 3
    return [{"product": a, "second": b, "third": c} for a, b, c in zip(names, names[third:], names[2 * third :])]


def cheapest(db: Database, params: Params) -> str:
    return min((product(db, name) for name in params.values()), key=lambda row: cents(row["price"]))["sku"]


def cheapest_solve(db: Database, params: Params) -> Solution:
    first, second, third = (find_product(name) for name in params.values())
    return Solution((*first, home(), *second, home(), *third, conclude("the SKU of the cheapest product", cheapest(db, params))))


def cheapest_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(cheapest(db, params))


def paid_instances(db: Database) -> list[Params]:
    numbers = [row["number"] for row in rows(db, "SELECT number FROM shop_order ORDER BY id")]
    steps = {"order": 0, "second": 5, "third": 16, "fourth": 23}
    return [{name: numbers[(i + step) % len(numbers)] for name, step in steps.items()} for i in range(len(numbers))]


def paid(db: Database, params: Params) -> str:
    return money(sum(cents(one(db, "SELECT total FROM shop_order WHERE number = ?", number)["total"]) for number in params.values()))


def paid_solve(db: Database, params: Params) -> Solution:
    orders = [stage for number in params.values() for stage in find_order(number)]
    return Solution((*orders, conclude("the sum of the four totals", paid(db, params))))


def paid_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(paid(db, params))


def today_instances(db: Database) -> list[Params]:
    orders = reorder_instances(db)
    return [{"order": a["order"], "other": b["order"]} for a, b in zip(orders, orders[9:] + orders[:9])]


def today(db: Database, params: Params) -> str:
    return money(sum(cents(product(db, ordered(db, {"order": number}))["price"]) for number in params.values()))


def today_solve(db: Database, params: Params) -> Solution:
    stages: list[Stage] = []
    facts = {}
    for key, seen_after, number in zip(("first", "second"), (2, 7), params.values()):
        text = f"the product of the order '{number}'"
        wanted, more = fact(key, ordered(db, {"order": number}), text, seen_after)
        facts |= more
        stages += [*find_order(number), home(), search_products(wanted), open_result("product", wanted)]
    return Solution((*stages, conclude("the sum of the two prices", today(db, params))), facts)


def today_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(today(db, params))


def with_part(db: Database, wanted: bool) -> list[Params]:
    """The orders of one product that has, or has not, a spare part."""
    return [params for params in reorder_instances(db) if bool(product(db, ordered(db, params))["part"]) == wanted]


def find_ordered(db: Database, params: Params) -> tuple[tuple[Stage, ...], dict]:
    """From the home page to the product of an order: five moves. Also the fact."""
    wanted, facts = fact("product", ordered(db, params), "the product of the order", seen_after=2)
    return (*find_order(params["order"]), home(), search_products(wanted), open_result("product", wanted)), facts


def no_part_instances(db: Database) -> list[Params]:
    return with_part(db, False)


def no_part_solve(db: Database, params: Params) -> Solution:
    stages, facts = find_ordered(db, params)
    return Solution((*stages, answer_if_there("spare part number")), facts)


def no_part_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report_missing(f"{URL}/product/{product(db, ordered(db, params))['sku']}")


def part_page_instances(db: Database) -> list[Params]:
    return with_part(db, True)


def part_page_solve(db: Database, params: Params) -> Solution:
    stages, facts = find_ordered(db, params)
    part = product_by_sku(db, product(db, ordered(db, params))["part"])
    number, more = fact("part", part["sku"], "the spare part number given there", seen_after=5)
    found = submit("Open the only product in the search results.", "The search found one product.", click(part["name"]))
    return Solution((*stages, home(), search_products(number), found, stop_on_page()), facts | more)


def part_page_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return end_on(f"{URL}/product/{product(db, ordered(db, params))['part']}")


SYNONYM = (
    "Put {count} pieces of the '{material}' '{word}' from the category '{category}' into my cart.",
    "I want {count} of the product that I call a '{material}' '{word}'; it is in the category '{category}'. Add them to the cart.",
    "Add {count} of what other people call a '{word}', the '{material}' one in the category '{category}', to the cart.",
)
TWO = (
    "Order {count} of '{product}' and {other_count} of '{other}' together.",
    "Put {count} pieces of '{product}' and {other_count} pieces of '{other}' into the cart and place the order.",
    "Buy '{product}' ({count} pieces) and '{other}' ({other_count} pieces) in one order.",
)
CHEAPEST = (
    "Which of '{product}', '{second}' and '{third}' costs least? Give me its SKU.",
    "Compare the prices of '{product}', '{second}' and '{third}' and tell me the SKU of the cheapest.",
    "I will buy the cheapest of '{product}', '{second}' and '{third}': what is its SKU?",
)
PAID = (
    "How much did I pay in all for the orders '{order}', '{second}', '{third}' and '{fourth}'?",
    "Add up the totals of my orders '{order}', '{second}', '{third}' and '{fourth}'.",
    "What is the sum of what the orders '{order}', '{second}', '{third}' and '{fourth}' cost me?",
)
TODAY_PRICE = (
    "What would one piece each of what I bought in the orders '{order}' and '{other}' cost today, together?",
    "Add up the present prices of the products from my orders '{order}' and '{other}'.",
    "I want the products of orders '{order}' and '{other}' again. How much is one of each now?",
)
NO_PART = (
    "What is the number of the spare part for the product of my order '{order}'?",
    "I need a spare part for what I bought in order '{order}'. Tell me its number.",
    "Which spare part number belongs to the product from the order '{order}'?",
)
PART_PAGE = (
    "Open the page of the spare part that belongs to the product of my order '{order}'.",
    "Take me to the spare part for what I bought in order '{order}'.",
    "Show the shop's page of the part that fits the product from the order '{order}'.",
)
ORDER = ("order",)
TEMPLATES = (
    Template("shop.synonym", SHOP, SYNONYM, ("material", "word"), synonym_instances, synonym_solve, synonym_evaluate, "change", weight=3),
    Template("shop.two_products", SHOP, TWO, PRODUCT, two_instances, two_solve, two_evaluate, "change", weight=3),
    Template("shop.today", SHOP, TODAY_PRICE, ORDER, today_instances, today_solve, today_evaluate, "aggregate", weight=3),
    Template("shop.no_part", SHOP, NO_PART, ORDER, no_part_instances, no_part_solve, no_part_evaluate, "infeasible", weight=3),
    Template(
        "shop.cheapest", SHOP, CHEAPEST, PRODUCT, cheapest_instances, cheapest_solve, cheapest_evaluate, "compare", unseen=True, weight=3
    ),
    Template("shop.paid", SHOP, PAID, ORDER, paid_instances, paid_solve, paid_evaluate, "aggregate", unseen=True, weight=3),
    Template(
        "shop.part_page",
        SHOP,
        PART_PAGE,
        ORDER,
        part_page_instances,
        part_page_solve,
        part_page_evaluate,
        "navigate",
        unseen=True,
        weight=3,
    ),
)

"""Task templates of the shop's outlet: an item may be sold out, and a notice stands before the checkout."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.people import TODAY
from planact_envs.miniweb.content.shop_outlet import DELIVERIES
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, changes
from planact_envs.miniweb.templates.shop import SHOP, URL
from planact_envs.miniweb.templates.stages import (
    Value,
    choose,
    fact,
    go,
    joined,
    open_result,
    pass_notice,
    plain,
    press,
    search,
    stop,
    submit,
)


def outlet_item(db: Database, name: str) -> Row:
    return one(db, "SELECT * FROM shop_outlet_item WHERE name = ?", name)


def outlet_items(db: Database, where: str) -> list[str]:
    """The names of the items for which `where`, SQL of this module, holds."""
    return [row["name"] for row in rows(db, f"SELECT name FROM shop_outlet_item WHERE {where} ORDER BY id")]


def enter_outlet() -> tuple[Stage, ...]:
    return go("Outlet", "The home page has a link to the outlet."), pass_notice()


def find_item(value: Value) -> tuple[Stage, ...]:
    return search("outlet items", value, "The outlet has a search box of its own."), open_result("item", value)


def order_item(delivery: str) -> tuple[Stage, ...]:
    """From an item's page to the confirmed order, and the end: six moves."""
    return (
        submit("Put the item in the basket.", "The item is in stock.", press("Put in basket")),
        submit("Check out.", "The basket has a button for this.", press("Check out")),
        pass_notice(),
        submit(
            f"Set the delivery to '{delivery}' and confirm the order.",
            "The form asks for it.",
            choose("Delivery", delivery),
            press("Confirm order"),
        ),
        stop(),
    )


def to_items() -> Stage:
    return go("Outlet items", "The item is sold out, so another one is needed.")


def outlet_ordered(db: Database, name: str, delivery: str) -> dict[str, Any]:
    row = {"code": outlet_item(db, name)["code"], "delivery": delivery, "created": TODAY}
    return changes({"shop_outlet_order": {"added": [row]}}, url=f"{URL}/outlet/orders", shows=[name, f"delivery: {delivery}"])


def fallback_instances(db: Database) -> list[Params]:
    """Each item in stock is bought once as itself and once as the way out, with another delivery."""
    there, gone = outlet_items(db, "stock > 0"), outlet_items(db, "stock = 0")
    delivery = {name: i for i, name in enumerate(there)}
    pairs = [(a, b, delivery[a]) for a, b in zip(there, there[7:] + there[:7])] + [(a, b, delivery[b] + 2) for a, b in zip(gone, there)]
    return [{"item": a, "other": b, "delivery": DELIVERIES[i % 4]} for a, b, i in pairs]


def fallback_solve(db: Database, params: Params) -> Solution:
    put, *rest = order_item(params["delivery"])
    sold_out = not outlet_item(db, params["item"])["stock"]
    instead = (to_items(), *find_item(plain(params["other"]))) if sold_out else ()
    step = f"Put the item in the basket; if it is sold out, find '{params['other']}' and put that in the basket."
    put = joined(step, "The item's page shows whether it is in stock.", *instead, put)
    return Solution((*enter_outlet(), *find_item(plain(params["item"])), put, *rest))


def fallback_evaluate(db: Database, params: Params) -> dict[str, Any]:
    name = params["item"] if outlet_item(db, params["item"])["stock"] else params["other"]
    return outlet_ordered(db, name, params["delivery"])


def replaced_instances(db: Database) -> list[Params]:
    there, gone = outlet_items(db, "stock > 0"), outlet_items(db, "stock = 0")
    delivery = {name: i for i, name in enumerate(there)}
    found = [(name, delivery[name] + 1) for name in there[::4]]
    found += [(name, delivery[outlet_item(db, name)["replacement"]] + 3) for name in gone]
    return [{"item": name, "delivery": DELIVERIES[i % 4]} for name, i in found]


def replaced_solve(db: Database, params: Params) -> Solution:
    found, stages, facts = outlet_item(db, params["item"]), (*enter_outlet(), *find_item(plain(params["item"]))), {}
    if not found["stock"]:
        other, facts = fact("other", found["replacement"], "the item that replaces it", seen_after=4)
        stages += (to_items(), *find_item(other))
    return Solution((*stages, *order_item(params["delivery"])), facts)


def replaced_evaluate(db: Database, params: Params) -> dict[str, Any]:
    found = outlet_item(db, params["item"])
    return outlet_ordered(db, found["name"] if found["stock"] else found["replacement"], params["delivery"])


FALLBACK = (
    "Order '{item}' from the outlet with the delivery '{delivery}'. If it is sold out, order '{other}' instead.",
    "I want '{item}' from the outlet, or '{other}' when that is sold out. Set the delivery to '{delivery}'.",
    "Buy the outlet item '{item}', with '{other}' as the second choice if it is gone; delivery: '{delivery}'.",
)
REPLACED = (
    "Order the outlet item '{item}', or what replaces it when it is sold out, with the delivery '{delivery}'.",
    "Buy '{item}' in the outlet; if it is gone, take its replacement. Choose '{delivery}' for the delivery.",
    "Get me '{item}' from the outlet with the delivery '{delivery}'. A sold-out item may be replaced as its page says.",
)
ITEM = ("item",)
TEMPLATES = (
    Template("shop.fallback", SHOP, FALLBACK, ITEM, fallback_instances, fallback_solve, fallback_evaluate, "change", weight=3),
    Template("shop.replaced", SHOP, REPLACED, ITEM, replaced_instances, replaced_solve, replaced_evaluate, "change", unseen=True, weight=3),
)

"""Task templates of the admin panel: orders and customers. Those about what the shop sells are in admin_goods.py."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.shop import cents, money
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.admin import NEWEST
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, changes, end_on, report, report_missing
from planact_envs.miniweb.templates.stages import (
    Value,
    answer_if_there,
    choose,
    click,
    conclude,
    fact,
    go,
    open_found,
    open_result,
    plain,
    press,
    search,
    stop,
    stop_on_page,
    submit,
    type_,
)

URL = "http://admin.miniweb"
ADMIN = ("admin",)
CUSTOMER = ("customer",)
REMARKS = (
    "Ask about the address",
    "Gift, no invoice inside",
    "Ring the back door",
    "Paid in cash",
    "Pack it twice",
    "Wants a call first",
    "Second try",
)


def find_order(number: str) -> tuple[Stage, ...]:
    """From any page to an order's page: two moves."""
    return go("Orders", "Every page has a link to the orders."), search("orders", plain(number), "The orders page has a search box.")


def find_product(value: Value) -> tuple[Stage, ...]:
    """From any page to a product's page: three moves."""
    find = search("products", value, "The products page has a search box.")
    return go("Products", "Every page has a link to the products."), find, open_result("product", value)


def find_customer(value: Value) -> tuple[Stage, ...]:
    """From any page to a customer's page: three moves."""
    find = search("customers", value, "The customers page has a search box.")
    return go("Customers", "Every page has a link to the customers."), find, open_result("customer", value)


def add_note(text: str) -> Stage:
    return submit(f"Write the note '{text}' and add it.", "The order page has a form for notes.", type_("Note", text), press("Add note"))


def set_status(status: str) -> Stage:
    moves = choose("New status", status), press("Save status")
    return submit(f"Set the new status to '{status}' and save it.", "The order page has a form for the status.", *moves)


def order_of(db: Database, number: str) -> Row:
    return one(db, "SELECT * FROM admin_order WHERE number = ?", number)


def changed(row: Row, **after: Any) -> Row:
    """The entry of a changed row in an evaluation."""
    return {"id": row["id"], "before": {name: row[name] for name in after}, "after": after}


def orders_of(db: Database, customer: str) -> list[str]:
    """The numbers of a customer's orders, newest first as on the customer's page."""
    return [row["number"] for row in rows(db, f"SELECT number FROM every_order WHERE customer = ? {NEWEST}", customer)]


def customers(db: Database) -> list[str]:
    """All customers whose orders fit on one page."""
    return [row["customer"] for row in rows(db, "SELECT DISTINCT customer FROM admin_order ORDER BY customer")]


def ship_instances(db: Database) -> list[Params]:
    waiting = rows(db, "SELECT number FROM admin_order WHERE status IN ('Pending', 'Processing', 'On hold') ORDER BY id")
    extra = ({"tracking": f"TRK-{70211 + 613 * i}", "note": REMARKS[i % len(REMARKS)]} for i in range(len(waiting)))
    return [{"order": row["number"]} | more for row, more in zip(waiting, extra)]


def ship_solve(db: Database, params: Params) -> Solution:
    tracking = params["tracking"]
    moves = type_("New tracking number", tracking), press("Save tracking number")
    track = submit(f"Set the new tracking number to '{tracking}' and save it.", "The order page has a form for it.", *moves)
    return Solution((*find_order(params["order"]), track, set_status("Shipped"), add_note(params["note"]), stop()))


def ship_evaluate(db: Database, params: Params) -> dict[str, Any]:
    number, tracking, note = params["order"], params["tracking"], params["note"]
    order = changed(order_of(db, number), status="Shipped", tracking=tracking)
    database = {"admin_order": {"changed": [order]}, "admin_note": {"added": [{"number": number, "body": note}]}}
    return changes(database, url=f"{URL}/order/{number}", shows=["Status: Shipped", tracking, note])


def hold_instances(db: Database) -> list[Params]:
    pending = rows(db, "SELECT customer FROM admin_order WHERE status = 'Pending' ORDER BY id")
    return [{"customer": row["customer"], "note": REMARKS[i * 3 % len(REMARKS)]} for i, row in enumerate(pending)]


def pending(db: Database) -> list[Row]:
    """The pending orders as the filtered list shows them."""
    return rows(db, f"SELECT number, customer FROM every_order WHERE status = 'Pending' {NEWEST}")


def hold_solve(db: Database, params: Params) -> Solution:
    customer, found = params["customer"], pending(db)
    index = [row["customer"] for row in found].index(customer)
    filtered = choose("Status", "Pending"), press("Filter")
    link = f"Order {found[index]['number']}"
    stages = (
        go("Orders", "Every page has a link to the orders."),
        submit("Filter the list by the status 'Pending'.", "The orders page has a filter.", *filtered),
        open_found(f"Find the order of '{customer}' in the list and open it.", "order", link, on_page=1 + index // PAGE_SIZE),
        set_status("On hold"),
        add_note(params["note"]),
        stop(),
    )
    return Solution(stages)


def hold_evaluate(db: Database, params: Params) -> dict[str, Any]:
    order = one(db, "SELECT * FROM admin_order WHERE status = 'Pending' AND customer = ?", params["customer"])
    note = {"number": order["number"], "body": params["note"]}
    database = {"admin_order": {"changed": [changed(order, status="On hold")]}, "admin_note": {"added": [note]}}
    return changes(database, url=f"{URL}/order/{order['number']}", shows=["Status: On hold", params["note"]])


def read_orders(db: Database, customer: str) -> tuple[Stage, ...]:
    """From any page to each order of a customer, newest first: 2 + 2 moves for each order."""
    newest, *others = orders_of(db, customer)
    first = submit("Open the newest order of the customer.", "The page lists the customer's orders.", click(f"Order {newest}"))
    back = "Go back to the customer and open the next order."
    rest = (submit(back, "The customer has more orders.", click(customer), click(f"Order {number}")) for number in others)
    return (*find_customer(plain(customer)), first, *rest)


def spent_instances(db: Database) -> list[Params]:
    return [{"customer": name} for name in customers(db)]


def spent(db: Database, params: Params) -> str:
    return money(sum(cents(row["total"]) for row in rows(db, "SELECT total FROM admin_order WHERE customer = ?", params["customer"])))


def spent_solve(db: Database, params: Params) -> Solution:
    return Solution((*read_orders(db, params["customer"]), conclude("the sum of all totals", spent(db, params))))


def spent_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(spent(db, params))


def never_bought_instances(db: Database) -> list[Params]:
    names = [row["name"] for row in rows(db, "SELECT name FROM shop_product WHERE category <> 'Spare Parts' ORDER BY id")]
    found = []
    for i, customer in enumerate(customers(db)):
        sql = "SELECT product FROM every_item JOIN every_order USING (number) WHERE customer = ?"
        bought = {row["product"] for row in rows(db, sql, customer)}
        absent = [name for name in names if name not in bought]
        found.append({"customer": customer, "product": absent[i * 7 % len(absent)]})
    return found


def never_bought_solve(db: Database, params: Params) -> Solution:
    return Solution((*read_orders(db, params["customer"]), answer_if_there("tracking number")))


def never_bought_evaluate(db: Database, params: Params) -> dict[str, Any]:
    customer = one(db, "SELECT id FROM admin_customer WHERE name = ?", params["customer"])["id"]
    pages = [f"{URL}/customer/{customer}", *(f"{URL}/order/{number}" for number in orders_of(db, params["customer"]))]
    return report_missing(" |OR| ".join(pages))


def newest_product(db: Database, customer: str) -> Row | None:
    """The only product of a customer's newest order, None when there are several."""
    sql = "SELECT shop_product.* FROM admin_order_item JOIN shop_product ON name = product WHERE number = ?"
    found = rows(db, sql, orders_of(db, customer)[0])
    return found[0] if len(found) == 1 else None


def edit_form_instances(db: Database) -> list[Params]:
    """One customer for each product."""
    by_product = {row["sku"]: name for name in customers(db) if (row := newest_product(db, name))}
    return [{"customer": name} for name in by_product.values()]


def edit_form_solve(db: Database, params: Params) -> Solution:
    customer = params["customer"]
    wanted, facts = fact("product", newest_product(db, customer)["name"], "the product of the order", seen_after=4)
    newest = submit("Open the newest order of the customer.", "The orders stand below.", click(f"Order {orders_of(db, customer)[0]}"))
    edit = go("Edit product", "The product page has a link for editing.")
    return Solution((*find_customer(plain(customer)), newest, *find_product(wanted), edit, stop_on_page()), facts)


def edit_form_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return end_on(f"{URL}/product/{newest_product(db, params['customer'])['sku']}/edit")


SHIP = (
    "Give the order '{order}' the tracking number '{tracking}', set it to 'Shipped' and add the note '{note}'.",
    "Order '{order}' left today with the tracking number '{tracking}'. Make it 'Shipped' and leave the note '{note}'.",
    "Set the status of order '{order}' to 'Shipped', with the tracking number '{tracking}' and the note '{note}'.",
)
HOLD = (
    "The order of '{customer}' that is 'Pending' must wait: set it to 'On hold' and add the note '{note}'.",
    "Put the order of '{customer}' with the status 'Pending' 'On hold', and write the note '{note}' there.",
    "'{customer}' has an order with the status 'Pending'. Change that to 'On hold' and note '{note}' in it.",
)
SPENT = (
    "How much has the customer '{customer}' spent on all orders together?",
    "Add up the totals of every order of '{customer}'.",
    "What is the sum of all that '{customer}' ever ordered from us?",
)
NEVER_BOUGHT = (
    "What is the tracking number of the order in which '{customer}' bought '{product}'?",
    "'{customer}' asks where the product '{product}' is. Tell me the tracking number of that order.",
    "Find the order of '{product}' by '{customer}' and give me its tracking number.",
)
EDIT_FORM = (
    "Open the form for editing the product that '{customer}' ordered last.",
    "Take me to where I can edit the product of the newest order of '{customer}'.",
    "I have to correct the product that was in the last order of '{customer}': show its edit page.",
)
TEMPLATES = (
    Template("admin.ship", ADMIN, SHIP, ("order",), ship_instances, ship_solve, ship_evaluate, "change", weight=3),
    Template("admin.hold", ADMIN, HOLD, CUSTOMER, hold_instances, hold_solve, hold_evaluate, "change", weight=3),
    Template("admin.spent", ADMIN, SPENT, CUSTOMER, spent_instances, spent_solve, spent_evaluate, "aggregate", unseen=True, weight=3),
    Template(
        "admin.never_bought",
        ADMIN,
        NEVER_BOUGHT,
        CUSTOMER,
        never_bought_instances,
        never_bought_solve,
        never_bought_evaluate,
        "infeasible",
        weight=3,
    ),
    Template(
        "admin.edit_form",
        ADMIN,
        EDIT_FORM,
        CUSTOMER,
        edit_form_instances,
        edit_form_solve,
        edit_form_evaluate,
        "navigate",
        unseen=True,
        weight=3,
    ),
)

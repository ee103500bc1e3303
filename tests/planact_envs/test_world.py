"""The world is a function of its seed, and holds what the tasks rely on."""

import pytest

from planact_envs.miniweb.content.shop import cents
from planact_envs.miniweb.database import connect, rows
from planact_envs.miniweb.world import build_world


@pytest.fixture(scope="module")
def db():
    return connect(build_world())


def column(db, sql):
    return [next(iter(row.values())) for row in rows(db, sql)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    first = build_world(3)
    build_world.cache_clear()
    assert build_world(3) == first
    assert build_world(4) != first


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM shop_product",
        "SELECT sku FROM shop_product",
        "SELECT price FROM shop_product",
        "SELECT part FROM shop_product WHERE part <> ''",
        "SELECT tracking FROM shop_order",
        "SELECT title FROM forum_post",
        "SELECT points FROM forum_post",
        "SELECT city FROM forum_member",
        "SELECT karma FROM forum_member",
        "SELECT title FROM code_issue",
        "SELECT stars FROM code_project",
        "SELECT depends FROM code_project WHERE depends <> ''",
        "SELECT email FROM admin_customer",
        "SELECT number FROM every_order",
        "SELECT sku FROM admin_review",
        "SELECT author FROM admin_review",
        "SELECT code FROM admin_coupon",
        "SELECT code FROM shop_outlet_item",
        "SELECT replacement FROM shop_outlet_item WHERE stock = 0",
        "SELECT version FROM code_release GROUP BY project HAVING id = max(id)",
    ],
)
def test_values_that_tasks_ask_for_are_unique(db, sql):
    values = column(db, sql)
    assert len(values) > 20
    assert len(set(values)) == len(values)


def test_references_point_at_something(db):
    assert set(column(db, "SELECT part FROM shop_product WHERE part <> ''")) <= set(column(db, "SELECT sku FROM shop_product"))
    assert set(column(db, "SELECT product FROM shop_order_item")) <= set(column(db, "SELECT name FROM shop_product"))
    assert set(column(db, "SELECT author FROM forum_post")) <= set(column(db, "SELECT name FROM forum_member"))
    assert set(column(db, "SELECT recommends FROM forum_post")) <= {"", *column(db, "SELECT title FROM forum_forum")}
    assert set(column(db, "SELECT depends FROM code_project")) <= {"", *column(db, "SELECT name FROM code_project")}
    assert set(column(db, "SELECT duplicates FROM code_issue")) <= {"", *column(db, "SELECT title FROM code_issue")}


def test_what_the_admin_panel_shows_belongs_to_the_shop(db):
    customers, products = set(column(db, "SELECT name FROM admin_customer")), set(column(db, "SELECT name FROM shop_product"))
    assert set(column(db, "SELECT customer FROM every_order")) == customers
    assert set(column(db, "SELECT product FROM every_item")) <= products
    assert set(column(db, "SELECT sku FROM admin_review")) <= set(column(db, "SELECT sku FROM shop_product"))
    orders = rows(db, "SELECT number, total FROM admin_order")
    for order in orders:
        sql = "SELECT price, quantity FROM admin_order_item JOIN shop_product ON name = product WHERE number = ?"
        assert cents(order["total"]) == sum(cents(item["price"]) * item["quantity"] for item in rows(db, sql, order["number"]))


def test_an_outlet_item_is_in_stock_or_replaced_by_one_that_is(db):
    there = set(column(db, "SELECT name FROM shop_outlet_item WHERE stock > 0"))
    assert set(column(db, "SELECT replacement FROM shop_outlet_item WHERE stock = 0")) == there
    assert set(column(db, "SELECT replacement FROM shop_outlet_item WHERE stock > 0")) == {""}


def test_the_copy_that_each_episode_makes_is_small():
    assert len(build_world()) < 450 * 1024  # bytes


def test_each_project_has_one_maintainer(db):
    assert column(db, "SELECT count(*) FROM code_member WHERE role = 'maintainer' GROUP BY project") == [1] * 44


def test_no_other_seed_breaks_the_generator():
    for seed in range(20, 30):
        build_world(seed)

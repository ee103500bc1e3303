"""What task files ask by the name of a function, e.g. `func:reddit_get_post_url('__last_url__')`. Names are looked up, never run.

The spelling of a name is the task files' own.
"""

from __future__ import annotations

import re
from typing import Any, Awaitable, Callable
from urllib.parse import urlsplit

import httpx
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from planact.env import EnvError
from planact_envs.scoring.ending import Ending, Unscorable

_CALL = re.compile(r"func:(?P<name>\w+)\((?P<argument>__page__|'__last_url__')?(?:, )?(?P<text>'[^'\\\n]*')?\)")
TIMEOUT = 30.0  # seconds for one request to a shop's REST interface

ROLE = """account => {
  const names = [...document.querySelectorAll("td[data-label='Account'] span.gl-avatar-labeled-sublabel")];
  return document.querySelectorAll("td.col-max-role span")[names.findIndex(name => name.outerText === "@" + account)].outerText;
}"""


async def call(text: str, ending: Ending, page: Page) -> str:
    """The result of a `func:` expression. Raises Unscorable when there is no such function, EnvError when a site's interface fails."""
    match = _CALL.fullmatch(text)
    if match is None or match["name"] not in FUNCTIONS:
        raise Unscorable(f"no function of a known form: {text!r}; known are {', '.join(FUNCTIONS)}")
    return await FUNCTIONS[match["name"]](ending, page, (match["text"] or "''")[1:-1])


async def reddit_get_post_url(ending: Ending, page: Page, _: str) -> str:
    """The post that a page under `/f/<forum>/<post>/` belongs to; any other address as it is."""
    url = ending.page.url
    parts = urlsplit(url)
    segments = parts.path.split("/")
    if len(segments) < 4 or segments[1] != "f":
        return url
    return f"{parts.scheme}://{parts.netloc}/f/{segments[2]}/{segments[3]}/"


async def shopping_get_latest_order_url(ending: Ending, page: Page, _: str) -> str:
    newest = {
        "searchCriteria[sortOrders][0][field]": "created_at",
        "searchCriteria[sortOrders][0][direction]": "DESC",
        "searchCriteria[pageSize]": "1",
    }
    orders = (await magento(ending, "/rest/V1/orders", newest))["items"]
    return f"{ending.sites.url('shopping')}/sales/order/view/order_id/{int(orders[0]['increment_id'])}/"


async def shopping_get_sku_latest_review_author(ending: Ending, page: Page, sku: str) -> str:
    reviews = await magento(ending, f"/rest/V1/products/{sku}/reviews")
    return reviews[-1]["nickname"] if reviews else ""


async def shopping_get_sku_latest_review_rating(ending: Ending, page: Page, sku: str) -> str:
    """In per cent."""
    reviews = await magento(ending, f"/rest/V1/products/{sku}/reviews")
    return str(reviews[-1]["ratings"][0]["percent"]) if reviews else ""


async def gitlab_get_project_memeber_role(ending: Ending, page: Page, account: str) -> str:
    """The role that a project's page of members shows for an account; "" when it does not show it."""
    try:
        return await page.evaluate(ROLE, account)
    except PlaywrightError:
        return ""


async def magento(ending: Ending, path: str, query: dict[str, str] | None = None) -> Any:
    """What the shop's REST interface says, asked as its administrator. Raises EnvError, without the token."""
    account, url = ending.sites.accounts["shopping_admin"], ending.sites.url("shopping")
    credentials = {"username": account.username, "password": account.password}
    async with httpx.AsyncClient(base_url=url, headers=dict(ending.sites.headers), timeout=TIMEOUT) as client:
        try:
            token = (await client.post("/rest/default/V1/integration/admin/token", json=credentials)).raise_for_status().json()
            return (await client.get(path, params=query, headers={"Authorization": f"Bearer {token}"})).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            reason = f"{type(error).__name__} {getattr(getattr(error, 'response', None), 'status_code', '')}".strip()
            raise EnvError(f"the shop's REST interface failed at {path}: {reason}; is SHOPPING_ADMIN_PASSWORD right?") from None


FUNCTIONS: dict[str, Callable[[Ending, Page, str], Awaitable[str]]] = {
    function.__name__: function
    for function in (
        reddit_get_post_url,
        shopping_get_latest_order_url,
        shopping_get_sku_latest_review_author,
        shopping_get_sku_latest_review_rating,
        gitlab_get_project_memeber_role,
    )
}

"""A text browser over an ASGI application: links, forms, tabs and history, no JavaScript, about a millisecond a step."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, field
from urllib.parse import urljoin

import httpx
from selectolax.lexbor import LexborNode

from planact.types import Action, Op
from planact_envs.acting import ActionFailed, choice, node_of, shown, tab_index, text_field
from planact_envs.miniweb.form_state import State, form_of, form_state, restored
from planact_envs.page import Page, read_html

MAX_REDIRECTS = 10
NOT_TYPED = frozenset({"checkbox", "radio", "hidden", "submit", "button", "reset", "image", "file", "color", "range"})
NO_SUBMIT = frozenset({"submit", "button", "reset", "image", "file"})
DEFAULT_BUTTON = "button:not([type]), button[type=submit], input[type=submit], input[type=image]"  # what Enter in a field presses


def with_database(app, database: sqlite3.Connection):
    """`app` with `request.state.db` set, so that one application serves many isolated episodes."""

    async def asgi(scope, receive, send):
        await app({**scope, "state": {"db": database}}, receive, send)

    return asgi


@dataclass
class Tab:
    history: list[str] = field(default_factory=list)  # urls
    position: int = -1
    states: dict[int, State] = field(default_factory=dict)  # what fields held when a page was left, by position in the history
    url: str = "about:blank"
    html: str = ""
    values: dict[str, str] = field(default_factory=dict)  # typed, chosen or checked on this page, by element id
    focus: str = ""  # id of the element that was acted on last, which Enter goes to
    page: Page = field(default_factory=lambda: read_html(""))


class TextBrowser:
    """Tabs over one application. `act` changes state or raises ActionFailed and changes nothing."""

    def __init__(self, app, hosts: frozenset[str]):
        """`app` is an ASGI application; only http urls whose host is in `hosts` are opened."""
        self.hosts = hosts
        self.transport = httpx.ASGITransport(app)  # alone: a client's cookies and headers would double the time of a step
        self.tabs = [Tab()]
        self.current = 0

    @property
    def tab(self) -> Tab:
        return self.tabs[self.current]

    async def act(self, action: Action) -> None:
        match action.op:
            case Op.CLICK:
                await self._click(action.element)
            case Op.TYPE:
                self._type(action.element, action.text)
            case Op.SEARCH:
                await self._search(action.element, action.text)
            case Op.SELECT:
                self._select(action.element, action.text)
            case Op.HOVER:
                node_of(self.tab.page, action.element)
            case Op.PRESS:
                if action.text.lower() == "enter" and self.tab.focus:
                    await self._enter(self.tab.focus)
            case Op.GOTO:
                await self.goto(action.text)
            case Op.BACK:
                await self._travel(-1)
            case Op.FORWARD:
                await self._travel(+1)
            case Op.NEW_TAB:
                self.tabs.append(Tab())
                self.current = len(self.tabs) - 1
            case Op.TAB_FOCUS:
                self.current = tab_index(len(self.tabs), action.text)
            case Op.CLOSE_TAB:
                self._close_tab()
            case Op.SCROLL | Op.NOTE:
                pass  # the text browser shows the whole page at once
            case _:
                raise ActionFailed(f"{action.op} is not an action on a page")

    async def goto(self, url: str) -> None:
        """Open `url` in the current tab and put it into the history."""
        await self._load("GET", url)

    async def fetch(self, url: str) -> str:
        """The HTML at `url`, without touching any tab."""
        return (await self._send("GET", self._address("GET", url, None), None))[1]

    async def _load(self, method: str, url: str, data: dict[str, list[str]] | None = None) -> None:
        """Show the page at `url` in the current tab. `data` is a form's: the query of a GET, the body of a POST."""
        address = self._address(method, url, data)
        answer = await self._send(method, address, data)
        tab = self.tab
        if data is not None or str(address) != tab.url:  # a link to the page itself makes no new place in the history
            tab.states[tab.position] = form_state(tab.page)
            tab.position += 1
            tab.history[tab.position :] = [""]
            tab.states = {position: state for position, state in tab.states.items() if position < tab.position}
        self._show(*answer)
        tab.history[tab.position] = tab.url

    def _show(self, url: str, html: str, state: State = ()) -> None:
        tab = self.tab
        tab.url, tab.html, tab.focus = url, html, ""
        tab.page, tab.values = read_html(tab.html), {}
        if state and (values := restored(tab.page, state)):
            tab.values, tab.page = values, read_html(tab.html, values)

    def _address(self, method: str, url: str, data: dict[str, list[str]] | None) -> httpx.URL:
        try:
            address = httpx.URL(urljoin(self.tab.url, url))
            if url.endswith("?"):  # an empty query, which `urljoin` leaves out
                address = address.copy_with(query=b"")
            if method == "GET" and data is not None:
                address = httpx.URL(address, params=data) if data else address.copy_with(query=b"")  # an empty form leaves a "?"
        except (httpx.InvalidURL, ValueError) as error:  # ValueError: a character that no URL or form can hold
            raise ActionFailed(f"{shown(url)} could not be opened: {error}") from error
        self._check_site(address)
        return address

    async def _send(self, method: str, address: httpx.URL, data: dict[str, list[str]] | None) -> tuple[str, str]:
        """The url and the HTML at the end of all redirects, each of which is checked like the first address."""
        try:
            for _ in range(MAX_REDIRECTS + 1):
                self._check_site(address)
                request = httpx.Request(method, address, data=data if method == "POST" else None)
                response = await self.transport.handle_async_request(request)
                html = (await response.aread()).decode("utf-8", "replace")  # by `text`, finding the charset out costs 0.05 ms
                if not response.has_redirect_location:
                    return str(address), html
                target = address.join(response.headers["location"])
                address = target.copy_with(fragment=address.fragment) if address.fragment and not target.fragment else target
                if response.status_code not in (307, 308):  # those two keep the method
                    method, data = "GET", None
        except (httpx.InvalidURL, ValueError) as error:
            raise ActionFailed(f"{shown(str(address))} could not be opened: {error}") from error
        raise ActionFailed(f"{shown(str(request.url))} could not be opened: it redirects more than {MAX_REDIRECTS} times")

    def _check_site(self, url: httpx.URL) -> None:
        if url.scheme != "http" or url.netloc.decode() not in self.hosts:
            raise ActionFailed(f"{shown(str(url))} is outside this environment; its sites are {', '.join(sorted(self.hosts))}")

    def _set(self, key: str, value: str) -> None:
        self.tab.values[key] = value
        self.tab.focus = key
        self.tab.page = read_html(self.tab.html, self.tab.values)

    def _type(self, key: str, text: str) -> None:
        text_field(self.tab.page, key)
        lines = self.tab.page.elements[key].tag != "input"
        self._set(key, text if lines else re.sub(r"\r\n|\r|\n", " ", text))

    async def _search(self, key: str, text: str) -> None:
        tab = self.tab
        before = dict(tab.values), tab.page, tab.focus
        self._type(key, text)
        try:
            await self._enter(key)
        except ActionFailed:
            tab.values, tab.page, tab.focus = before
            raise

    def _select(self, key: str, label: str) -> None:
        index = choice(self.tab.page, key, label)
        self._set(key, self.tab.page.nodes[key].children[index].name)

    async def _click(self, key: str) -> None:
        node, element = node_of(self.tab.page, key), self.tab.page.elements[key]
        if node.role == "link":
            await self.goto(element.attributes["href"] or "")
        elif node.role == "button":
            await self._press_button(key, element)
        elif node.role == "checkbox":
            self._set(key, "" if "checked" in node.states else "on")
        elif node.role == "radio":
            self._choose_radio(key, element)
        else:
            self.tab.focus = key

    async def _enter(self, key: str) -> None:
        """Enter in the element `key`: a line break, the click of a link or button, or the form's default button. On a combobox it opens
        the list of options, which are on the page already."""
        node, element = node_of(self.tab.page, key), self.tab.page.elements[key]
        if element.tag == "textarea":
            self._set(key, node.value + "\n")
        elif node.role in ("link", "button"):
            await self._click(key)
        elif element.tag == "input" and (form := form_of(element)):
            await self._submit_by_enter(form, element)

    def _choose_radio(self, key: str, element: LexborNode) -> None:
        group, form = element.attributes.get("name"), form_of(element)
        for other, node in self.tab.page.nodes.items():
            candidate = self.tab.page.elements[other]
            if node.role == "radio" and candidate.attributes.get("name") == group and _same(form_of(candidate), form):
                self.tab.values[other] = ""
        self._set(key, "on")

    async def _press_button(self, key: str, element: LexborNode) -> None:
        form, kind = form_of(element), (element.attributes.get("type") or "").lower()
        self.tab.focus = key
        if form is None or kind == "button":
            return  # does nothing without JavaScript
        if kind == "reset":
            self._reset(form)
        else:
            await self._submit(form, element)

    async def _submit_by_enter(self, form: LexborNode, element: LexborNode) -> None:
        """A form without a button is submitted only by its single text field (HTML's implicit submission)."""
        button = form.css_first(DEFAULT_BUTTON)
        fields = [field for field in form.css("input") if (field.attributes.get("type") or "text").lower() not in NOT_TYPED]
        if button is None and not (len(fields) == 1 and _same(fields[0], element)):
            return
        if button is None or "disabled" not in button.attributes:
            await self._submit(form, button)

    async def _submit(self, form: LexborNode, pressed: LexborNode | None) -> None:
        data = self._form_data(form, pressed)
        url = form.attributes.get("action") or self.tab.url
        await self._load("POST" if (form.attributes.get("method") or "").lower() == "post" else "GET", url, data)

    def _reset(self, form: LexborNode) -> None:
        kept = {key: value for key, value in self.tab.values.items() if not _same(form_of(self.tab.page.elements[key]), form)}
        self.tab.values = kept
        self.tab.page = read_html(self.tab.html, kept)

    def _form_data(self, form: LexborNode, pressed: LexborNode | None) -> dict[str, list[str]]:
        keys = {element.mem_id: key for key, element in self.tab.page.elements.items()}
        data: dict[str, list[str]] = {}
        for field_ in form.css("input, select, textarea, button"):
            name = field_.attributes.get("name")
            if name and "disabled" not in field_.attributes:
                value = self._field_value(field_, keys.get(field_.mem_id, ""), pressed)
                if value is not None:
                    data.setdefault(name, []).append(value)
        return data

    def _field_value(self, element: LexborNode, key: str, pressed: LexborNode | None) -> str | None:
        """What this control sends, None when it sends nothing."""
        attributes, kind = element.attributes, (element.attributes.get("type") or "").lower()
        if element.tag == "button" or kind in NO_SUBMIT:
            return (attributes.get("value") or "") if _same(element, pressed) else None
        node = self.tab.page.nodes.get(key)
        if node is None:  # hidden, so not changed
            return attributes.get("value") or ""
        if kind in ("checkbox", "radio"):
            return (attributes.get("value") or "on") if "checked" in node.states else None
        if element.tag == "select":
            return next((_option_value(o) for o in element.css("option") if " ".join(o.text().split()) == node.value), "")
        return node.value

    async def _travel(self, step: int) -> None:
        tab = self.tab
        position = tab.position + step
        if not 0 <= position < len(tab.history):
            raise ActionFailed("there is no page to go back to" if step < 0 else "there is no page to go forward to")
        address = self._address("GET", tab.history[position], None)
        answer = await self._send("GET", address, None)
        tab.states[tab.position] = form_state(tab.page)
        tab.position = position
        self._show(*answer, tab.states.get(position, ()))

    def _close_tab(self) -> None:
        if len(self.tabs) == 1:
            raise ActionFailed("the last tab cannot be closed")
        del self.tabs[self.current]
        self.current = max(0, self.current - 1)


def _option_value(option: LexborNode) -> str:
    value = option.attributes.get("value")
    return " ".join(option.text().split()) if value is None else value


def _same(one: LexborNode | None, other: LexborNode | None) -> bool:
    return (one and one.mem_id) == (other and other.mem_id)

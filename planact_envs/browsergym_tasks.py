"""The miniweb tasks for agents of BrowserGym and AgentLab: after `register()`, `gymnasium.make("browsergym/miniweb.<task id>")`.

The sites run in a thread of this process, behind the same proxy and with the same database per episode as the suite
`miniweb-chromium`. A task is scored once, when the agent answers or gives up. Needs the extras `browser` and `browsergym`.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from concurrent.futures import Future
from typing import Any, Coroutine, Mapping, Sequence

import gymnasium
from browsergym.core.registration import register_task
from browsergym.core.task import AbstractBrowserTask
from playwright.sync_api import BrowserType, Locator, Page

from planact.types import ELEMENT_OPS, FINAL_OPS, Op, Outcome
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.launch import FLAGS, find_chromium
from planact_envs.chromium.proxy import Proxy
from planact_envs.miniweb import scorer, sites, world
from planact_envs.miniweb.database import connect
from planact_envs.miniweb.server import EPISODE, Episodes, serve
from planact_envs.miniweb.solution import Move
from planact_envs.miniweb.tasks import all_tasks, find, solution

START = 10.0  # s, until the server listens
ROLES = {"textbox": ("textbox", "searchbox", "spinbutton")}  # ours → what browsers call it, where that differs

Message = Mapping[str, Any]  # of BrowserGym's chat: role, message, timestamp


def register() -> None:
    """Make every miniweb task known to gymnasium, and start the sites. Calling it again does nothing."""
    _use_found_chromium()
    _, proxy = _sites()
    settings = {"pw_context_kwargs": {"proxy": {"server": proxy, "bypass": "<-loopback>"}}}
    for task in all_tasks().values():
        if f"browsergym/miniweb.{task.id}" not in gymnasium.registry:
            register_task(f"miniweb.{task.id}", MiniwebTask, task_kwargs={"task_id": task.id}, nondeterministic=False, kwargs=settings)


class MiniwebTask(AbstractBrowserTask):
    """One episode of a miniweb task. The world is the same for every seed."""

    def __init__(self, seed: int, task_id: str):
        super().__init__(seed)
        self.slow_mo = 0
        self.task = find(task_id)
        self.episode = ""

    @classmethod
    def get_task_id(cls) -> str:
        return "miniweb"

    def setup(self, page: Page) -> tuple[str, dict]:
        self.start = world.build_world()
        self.database = connect(self.start)
        self.episodes, _ = _sites()
        self.episode = self.episodes.open(self.database)
        page.context.set_extra_http_headers({EPISODE: self.episode})
        page.goto(self.task.start_url)
        return self.task.intent, {"version": world.MINIWEB_VERSION}

    def validate(self, page: Page, chat_messages: Sequence[Message]) -> tuple[float, bool, str, dict]:
        """Reward 1 for success, once the agent has sent a message or reported the task infeasible; `info` says what is wrong."""
        answer = _answer(chat_messages)
        if answer is None:
            return 0.0, False, "", {}

        async def fetch(url: str) -> str:
            return _html(page, url)

        outcome = _finish(scorer.score(self.task.eval, answer=answer, url=page.url, start=self.start, end=self.database, fetch=fetch))
        return float(outcome.success), True, "", {"scorer": outcome.scorer, "reason": outcome.reason}

    def cheat(self, page: Page, chat_messages: list[Message]) -> None:
        """Carry out the oracle's moves; the last one is the answer."""
        for move in solution(self.task).moves:
            if move.op in FINAL_OPS:
                role = "assistant" if move.op == Op.STOP else "infeasible"
                chat_messages.append({"role": role, "timestamp": 0.0, "message": move.text})
            else:
                _carry_out(move, page)

    def teardown(self) -> None:
        if self.episode:
            self.episodes.close(self.episode)
            self.database.close()


def _answer(messages: Sequence[Message]) -> str | None:
    """What the agent has said since it was given the goal; None while it has said nothing. "N/A" when it gave up."""
    roles = [message["role"] for message in messages]
    said = messages[roles.index("user") + 1 :] if "user" in roles else ()
    for message in said:
        if message["role"] == "infeasible":
            return "N/A"
        if message["role"] == "assistant":
            return message["message"]
    return None


def _finish(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """The result of a coroutine that never has to wait: Playwright's loop runs in this thread, and asyncio allows no second one."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("the scorer waited for something else than a page")


def _html(page: Page, url: str) -> str:
    """The page at `url` in a tab that the agent never sees."""
    tab = page.context.new_page()
    try:
        tab.goto(url)
        return tab.content()
    finally:
        tab.close()


def _carry_out(move: Move, page: Page) -> None:
    """Raises ValueError for a move that the oracle never makes here."""
    target = _find(move, page) if move.op in ELEMENT_OPS else None
    match move.op:
        case Op.CLICK:
            target.click()
        case Op.TYPE:
            target.fill(move.text)
        case Op.SEARCH:
            target.fill(move.text)
            target.press("Enter")
        case Op.SELECT:
            target.select_option(label=move.text)
        case Op.GOTO:
            page.goto(move.text)
        case Op.BACK:
            page.go_back()
        case _:
            raise ValueError(f"the oracle of {page.url} makes the move {move.op}, which cannot be carried out here")
    page.wait_for_load_state()


def _find(move: Move, page: Page) -> Locator:
    found = [page.get_by_role(role, name=move.name, exact=True) for role in ROLES.get(move.role, (move.role,))]
    return functools.reduce(Locator.or_, found).first


@functools.cache
def _sites() -> tuple[Episodes, str]:
    """The running sites and the URL of the proxy that leads to them; both last as long as the process."""
    started: Future[tuple[Episodes, str]] = Future()

    async def run() -> None:
        async with serve() as episodes:
            proxy = Proxy(Gate(served=dict.fromkeys(sites.HOSTS, episodes.address)))
            started.set_result((episodes, await proxy.start()))
            await asyncio.Event().wait()

    threading.Thread(target=asyncio.run, args=(run(),), name="miniweb", daemon=True).start()
    return started.result(START)


def _use_found_chromium() -> None:
    """Let BrowserGym start the Chromium of this machine where Playwright's own is not installed.

    BrowserGym starts two browsers for an episode and takes a program's path for the first one only, and no flags at all.
    """
    program, launch = find_chromium(), BrowserType.launch
    if program is None or hasattr(launch, "__wrapped__"):
        return

    @functools.wraps(launch)
    def launch_found(self: BrowserType, *, executable_path: Any = None, args: Sequence[str] | None = None, **settings: Any) -> Any:
        return launch(self, executable_path=executable_path or program, args=[*FLAGS, *(args or ())], **settings)

    BrowserType.launch = launch_found

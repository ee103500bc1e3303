"""MiniWoB++ behind the `Env` protocol, through BrowserGym: its task classes set up and judge the page, its marking and
extraction read it, its action functions act on it.

BrowserGym's own environment class is left out. It starts two browsers for every episode (the second shows a chat) and
sleeps for half a second in every step; here the episodes of a thread share one browser, and a step waits only for what the
page itself has set in motion (planact_envs/chromium/settle.js).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from planact.actions import render_action
from planact.env import EnvError
from planact.types import ELEMENT_OPS, Action, Observation, Op, Outcome, Task
from planact_envs.acting import ActionFailed, choice, shown, text_field
from planact_envs.chromium.settle import ACTIVITY
from planact_envs.chromium.tab import Limits, script
from planact_envs.miniwob.browser import BrowserThread
from planact_envs.miniwob.gym import INSTALL, pages_url, perform, read_page, task_classes
from planact_envs.observation import FORMS, observation_of
from planact_envs.page import Node, Page

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

SCORER = "miniwob"
KNOWN = (Op.CLICK, Op.TYPE, Op.SEARCH, Op.SELECT, Op.HOVER, Op.PRESS, Op.SCROLL, Op.NOTE)
LIMITS = Limits()
OVER = Page(Node("page", children=(Node("text", "This task has ended. Stop now."),)), "", {}, {})


class MiniwobEnv:
    """One episode in a `thread` that others may use too. `form` is one of `planact_envs.observation.FORMS`."""

    def __init__(self, thread: BrowserThread, form: str = "axtree", screenshots: Path | None = None):
        if form not in FORMS:
            raise ValueError(f"observation form {form!r} does not exist; choose one of {', '.join(FORMS)}")
        self.thread, self.form, self.screenshots = thread, form, screenshots
        self.context: BrowserContext | None = None

    async def reset(self, task: Task) -> Observation:
        """The page as the task's seed draws it. Raises EnvError when it asks for something else than the task says."""
        await self.close()
        return await self.thread.run(self._reset, task)

    async def step(self, action: Action) -> Observation:
        return await self.thread.run(self._step, action)

    async def score(self, answer: str) -> Outcome:
        """Success is a positive raw reward of the page, which it gives only when the task has ended. The answer plays no part."""
        if not self.ended:
            await self.thread.run(self._judge)  # it may have ended since
        return Outcome(self.ended and self.reward > 0, SCORER, self.reason if self.ended else "the page was not brought to an end")

    async def close(self) -> None:
        if self.context:
            context, self.context = self.context, None
            with suppress(EnvError):  # a browser that is gone holds nothing
                await self.thread.run(context.close)

    def _reset(self, task: Task) -> Observation:
        self.task, self.ended, self.reward, self.reason, self.shots = task, False, 0.0, "", 0
        self.token = token_hex(4)  # repeats and tries of a task have pictures of their own
        self.gym = task_classes()[task.template](seed=int(task.params["seed"]), base_url=pages_url())
        self.context = self.thread.new_context(viewport=self.gym.viewport)
        self.context.add_init_script(script("settle.js"))
        self.tab = self.context.new_page()
        goal, _ = self.gym.setup(self.tab)
        self.context.set_default_timeout(self.gym.timeout)  # not before: a busy machine may take longer to open a page
        if goal != task.intent:
            raise EnvError(f"{task.id} says {task.intent!r}, but its page asks {goal!r}: another version of miniwob; {INSTALL}")
        return self._observe()

    def _step(self, action: Action) -> Observation:
        error = ""
        try:
            self._act(action)
        except ActionFailed as failure:
            error = str(failure)
        if not self.ended:  # what happens after the end counts no more
            self._settle()
            self._judge()
        return self._observe(error)

    def _judge(self) -> None:
        self.reward, self.ended, _, info = self.gym.validate(self.tab, [])
        self.reason = info.get("error") or f"raw reward {info['RAW_REWARD_GLOBAL']:g}"

    def _act(self, action: Action) -> None:
        """Raises ActionFailed, also for what Playwright could not do."""
        from playwright.sync_api import Error

        if self.ended:
            raise ActionFailed("this task has ended; nothing more can be done but to stop")
        if action.op not in KNOWN:
            raise ActionFailed(f"{action.op} is not possible here; a task is one page, and its actions are {', '.join(KNOWN)}")
        call = render_action(self._checked(action), "browsergym")
        try:
            perform(call, self.tab)
        except (Error, ValueError) as error:
            raise ActionFailed(_readable(error)) from error

    def _checked(self, action: Action) -> Action:
        """The bare action, an option by its whole label. Raises ActionFailed when the page shows no such element or option."""
        key, text = action.element, action.text
        if action.op in ELEMENT_OPS and key not in self.page.nodes:
            raise ActionFailed(f"no element {shown(key)} on this page; its elements are {', '.join(self.page.nodes) or 'none'}")
        if action.op in (Op.TYPE, Op.SEARCH):
            text_field(self.page, key)
        elif action.op == Op.SELECT:
            text = self.page.nodes[key].children[choice(self.page, key, text)].name
        return Action(action.op, key, text)

    def _settle(self) -> None:
        """Wait until the timers and changes that the action set in motion are over, in a bounded time."""
        quiet, patience, limit = (round(1000 * seconds) for seconds in (LIMITS.quiet, LIMITS.patience, LIMITS.action))
        self.tab.evaluate(ACTIVITY.format(quiet=quiet, patience=patience, limit=limit))

    def _observe(self, error: str = "") -> Observation:
        self.page = OVER if self.ended else read_page(self.tab)
        return observation_of(self.page, self.form, self.tab.url, error=error, screenshot=self._draw())

    def _draw(self) -> str | None:
        """The path of a new picture, None when none is wanted."""
        if self.screenshots is None:
            return None
        path = self.screenshots / f"{self.task.id}-{self.token}-{self.shots:03d}.png"
        self.shots += 1
        self.screenshots.mkdir(parents=True, exist_ok=True)
        self.tab.screenshot(path=path)
        return str(path)


def _readable(error: Exception) -> str:
    """The error without Playwright's log of what it tried, of which the last line says what was in the way."""
    first, *log = str(error).strip().splitlines()
    last = log[-1].strip(" -") if log else ""
    return f"{first.removesuffix('Call log:')} ({last})" if last else first

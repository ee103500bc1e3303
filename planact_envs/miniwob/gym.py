"""What is taken from BrowserGym and from the `miniwob` package: task classes, pages, extraction and actions."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from planact.env import EnvError
from planact_envs.miniwob.axtree import read_axtree
from planact_envs.page import Page

if TYPE_CHECKING:
    import playwright.sync_api
    from browsergym.core.action.highlevel import HighLevelActionSet
    from browsergym.miniwob.base import AbstractMiniwobTask

INSTALL = "pip install -e '.[envs,browser,browsergym]' -c constraints.txt"


def check_installed() -> None:
    """Raises EnvError with what to type when BrowserGym or the pages are missing."""
    task_classes()
    pages_url()


@functools.cache
def task_classes() -> dict[str, type[AbstractMiniwobTask]]:
    """Page → BrowserGym's task class. Raises EnvError when BrowserGym is not installed."""
    try:
        from browsergym.miniwob import ALL_MINIWOB_TASKS
    except ImportError as error:
        raise EnvError(f"BrowserGym's MiniWoB++ is not installed ({error}); {INSTALL}") from error
    return {task.subdomain: task for task in ALL_MINIWOB_TASKS}


@functools.cache
def pages_url() -> str:
    """Where the installed `miniwob` package keeps its pages. Raises EnvError when it is not installed."""
    try:
        package = distribution("miniwob")  # its files are wanted, not its modules, which import selenium
    except PackageNotFoundError as error:
        raise EnvError(f"the pages of MiniWoB++ are not installed; {INSTALL}") from error
    return f"{Path(package.locate_file('miniwob/html/miniwob')).resolve().as_uri()}/"


def read_page(tab: playwright.sync_api.Page) -> Page:
    """The page as BrowserGym extracts it. Its bids stay on the elements, so an element keeps its id as long as it lives."""
    from browsergym.core import observation

    observation._pre_extract(tab, tags_to_mark="all")  # "all": shapes of drawings get ids too
    try:
        dom, axtree = observation.extract_dom_snapshot(tab), observation.extract_merged_axtree(tab)
    finally:
        observation._post_extract(tab)
    return read_axtree(axtree, dom, observation.extract_dom_extra_properties(dom))


def perform(call: str, tab: playwright.sync_api.Page) -> None:
    """Carry out an action in BrowserGym's spelling. Raises ValueError and Playwright's Error.

    BrowserGym reads it with a parser of literals and puts the values into the source of its own functions, so no text
    of a model is run; `call` comes from `planact.actions.render_action`, and `_actions` allows no other function.
    """
    from browsergym.core.action.base import execute_python_code

    execute_python_code(_actions().to_python_code(call), tab, send_message_to_user=None, report_infeasible_instructions=None)


@functools.cache
def _actions() -> HighLevelActionSet:
    from browsergym.core.action import functions
    from browsergym.core.action.highlevel import HighLevelActionSet

    names = ("click", "fill", "select_option", "hover", "keyboard_press", "scroll", "noop")
    allowed = [getattr(functions, name) for name in names]
    return HighLevelActionSet("custom", allowed, multiaction=True, strict=True, retry_with_force=True)  # retry: BrowserGym's setting

"""The one renderer: every prompt of every role, for inference and for training rows alike.

Two prompt sets with the same fields and output formats: `full` for real models, `compact` without the prose so that a
tiny model's context holds it. Formats follow the paper (A.3 planner, A.4 executor, A.10 replanner); the words are ours.
A chat is a list of {"role", "content"}; a training row is such a chat plus the answer.
"""

from __future__ import annotations

from typing import Sequence

from planact.actions import describe_action, render_action
from planact.plans import render_plan, render_steps
from planact.recipe import Agent
from planact.shorten import shorten
from planact.types import Action, Observation, Plan, Turn, content_hash

SETS = ("full", "compact")
PAST_PAGE = "** Simplified html **"  # stands for every page but the current one (WebRL, paper A.4)
RENDERING = 1  # raise it when the code below, or planact/shorten.py, writes anything differently
MAX_RAW = 300  # characters of an unreadable answer that stay in the history; ours

Message = dict[str, str]

_PLAN_FORMAT = """Write each step in exactly this form, numbered from 1:
## Step 1
Reasoning: why this step is needed
Step: what to do"""

_PLANNER = f"""You are the planner of a web agent. You get a user's request and the page that is open. Write a plan that another
model, the executor, will carry out action by action.
- Use few steps. Each step is a goal on the site that takes one or more actions; say what to reach, not which element to use.
- Put every concrete value from the request (names, numbers, texts) into the step that needs it.
- When something depends on what a page will show, say so: "if ..., then ...".
- The reasoning of step 1 begins with what you see on the page that matters for the request.
- When the request asks for information, the last step says what to report.
{_PLAN_FORMAT}"""

_REPLANNER = f"""You are the planner of a web agent. The executor has acted since your last plan. You get the user's request, your earlier
plans, the actions so far and the page that is open now. Write the plan for what is still to be done.
- Leave out what is finished. Keep the steps that are still right. Change or add steps where the page calls for it.
- Replace descriptions by the values that the pages have shown: the plan is the executor's only memory.
- Never state what has not been seen yet.
- The reasoning of step 1 begins with what the page shows and whether the last actions worked.
{_PLAN_FORMAT}"""

_ACTIONS = {
    "webrl": """do(action="Click", element="ID")
do(action="Type", argument="TEXT", element="ID")
do(action="Search", argument="TEXT", element="ID")  types and presses Enter
do(action="Select Dropdown Option", argument="OPTION", element="ID")
do(action="Hover", element="ID")
do(action="Press Enter")
do(action="Scroll Up") or do(action="Scroll Down")
do(action="Goto", argument="URL")
go_backward() or go_forward()
exit(message="ANSWER")  ends the task; the answer is empty when nothing was asked, and N/A when the task cannot be done""",
    "browsergym": """click('ID')
fill('ID', 'TEXT')  followed by keyboard_press('Enter') on the next line to submit it
select_option('ID', 'OPTION')
hover('ID')
keyboard_press('KEY')
scroll(0, 400)
goto('URL')
go_back() or go_forward()
send_msg_to_user('ANSWER')  ends the task; the answer is empty when nothing was asked
report_infeasible('REASON')  ends the task when it cannot be done""",
}

_EXECUTOR = """You are the executor of a web agent. You carry out the user's task in a browser, one action at a time{guide}.
Each round you get the current page; pages of earlier rounds are left out. Answer with optional comment lines and then exactly one
action:
# Element: the element you act on, as the page describes it
# Note: anything that you must remember, because this page will not be shown again

Actions, with ID standing for an element's id on the current page:
{actions}"""
_WITH_PLAN = (
    ", following a plan. Work out from your earlier actions which step you are at. The plan may be coarse: a step can take several actions"
)

_SYSTEM = {
    "full": {
        "planner": _PLANNER,
        "replanner": _REPLANNER,
        "executor": _EXECUTOR.replace("{guide}", _WITH_PLAN),
        "react": _EXECUTOR.replace("{guide}", ""),
    },
    "compact": {"planner": "plan", "replanner": "replan", "executor": "act", "react": "act"},
}
_COT = {  # what an agent with `cot` reads after its system prompt
    "full": """

Think before you answer. Begin with <think>, your reasoning in the first person and </think>, then give the answer in the form above.
The reasoning says what the page shows that matters and why the answer follows from it. It is not kept for later rounds.""",
    "compact": ", think first",
}


def prompts_hash(prompts: str, grammar: str, cot: bool | str = False) -> str:
    """Identity of a prompt set; goes with every row, trajectory and run. `cot` is the agent's."""
    thinking = [_COT[prompts]] * bool(cot) + [cot] * isinstance(cot, str)
    return content_hash([_SYSTEM[prompts], _ACTIONS[grammar], PAST_PAGE, RENDERING, *thinking])


def planner_messages(agent: Agent, intent: str, page: Observation) -> list[Message]:
    """The first plan: request and first page without ids."""
    outline = seen(agent, page.outline, intent)
    return [
        {"role": "system", "content": _system(agent, "planner")},
        {"role": "user", "content": _with_query(agent.prompts, intent, f"## Initial HTML State\n{outline}")},
    ]


def replanner_messages(agent: Agent, intent: str, turns: Sequence[Turn], page: Observation) -> list[Message]:
    """A new plan after `turns`; the last `agent.plan_history` plans stay as chat turns, their pages left out."""
    planned, limit = [i for i, turn in enumerate(turns) if turn.replanned], agent.plan_history
    kept = planned if limit is None else planned[len(planned) - min(limit, len(planned)) :]
    messages = [{"role": "system", "content": _system(agent, "replanner")}]
    for i in kept:
        messages.append({"role": "user", "content": _planner_round(turns[:i], turns[i].observation.error, PAST_PAGE)})
        messages.append({"role": "assistant", "content": render_plan(turns[i].plan)})
    shown = seen(agent, page.outline, intent, turns[-1].plan, turns)
    messages.append({"role": "user", "content": _planner_round(turns, page.error, shown)})
    holder = messages[-1] if agent.prompts == "compact" else messages[1]
    holder["content"] = _with_query(agent.prompts, intent, holder["content"])
    return messages


def executor_messages(agent: Agent, intent: str, plan: Plan | None, turns: Sequence[Turn], page: Observation) -> list[Message]:
    """The next action. `plan` None is the no-planner agent (ReAct); an empty plan is a planner that wrote nothing readable."""
    role = "react" if plan is None else "executor"
    system = _system(agent, role).replace("{actions}", _ACTIONS[agent.grammar])
    head = f"{system}\n\n# Task\n{intent}"
    if plan is not None:
        head += f"\n\n# Plan\n{render_steps(plan)}"
    messages = [{"role": "system", "content": head}]
    for turn in turns:
        messages.append({"role": "user", "content": _page(PAST_PAGE, turn.observation.error)})
        messages.append({"role": "assistant", "content": _past_answer(turn, agent.grammar)})
    messages.append({"role": "user", "content": _page(seen(agent, page.text, intent, plan, turns), page.error)})
    return messages


def seen(agent: Agent, page: str, intent: str, plan: Plan | None = None, turns: Sequence[Turn] = ()) -> str:
    """What stands in the prompt of a page's text or outline: all of it, or what `agent.max_page_tokens` has room for.

    `plan` is the one that an executor follows, or that a replanner wrote last. What was typed and noted in `turns` counts too.
    """
    if agent.max_page_tokens is None:
        return page
    known = [intent, render_steps(plan) if plan else ""]
    known += [text for turn in turns if turn.action for text in (turn.action.text, turn.action.note) if text]
    return shorten(page, agent.max_page_tokens, "\n".join(known))


def planner_answer(plan: Plan, reasoning: str = "") -> Message:
    """The training target of a planner or replanner row."""
    return {"role": "assistant", "content": _after_thinking(reasoning, render_plan(plan))}


def executor_answer(action: Action, grammar: str, reasoning: str = "") -> Message:
    """The training target of an executor row."""
    return {"role": "assistant", "content": _after_thinking(reasoning, render_action(action, grammar))}


def _system(agent: Agent, role: str) -> str:
    asked = "planner" if role in ("planner", "replanner") else "executor"
    return _SYSTEM[agent.prompts][role] + (_COT[agent.prompts] if agent.reasons(asked) else "")


def _after_thinking(reasoning: str, answer: str) -> str:
    """The form in which the chat templates of reasoning models (Qwen3, R1) write it, so that they find and keep it."""
    return f"<think>\n{reasoning}\n</think>\n\n{answer}" if reasoning else answer


def _with_query(prompts: str, intent: str, rest: str) -> str:
    """The request before the page (paper A.3), or after it for tiny models, which attend best to what stands near the answer."""
    query = f"## User Query\n{intent}"
    return f"{rest}\n\n{query}" if prompts == "compact" else f"{query}\n\n{rest}"


def _planner_round(turns: Sequence[Turn], last_error: str, page: str) -> str:
    errors = [*(turn.observation.error for turn in turns[1:]), last_error]  # an action's error stands on the page after it
    actions = "\n".join(f"{n}. {_past_action(turn, error)}" for n, (turn, error) in enumerate(zip(turns, errors), 1)) or "none"
    return f"# Previous Actions\n{actions}\n\n# HTML\n{page}"


def _past_action(turn: Turn, error: str) -> str:
    text = describe_action(turn.action) if turn.action else "unreadable answer"
    return f"{text} (failed: {error})" if error else text


def _page(text: str, error: str) -> str:
    return f"{text}\n\nError: {error}" if error else text


def _past_answer(turn: Turn, grammar: str) -> str:
    return render_action(turn.action, grammar) if turn.action else turn.response[:MAX_RAW]

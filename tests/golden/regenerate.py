"""The prompts that the golden files hold. Write them again, after a change of the prompts that is meant, with

    PYTHONPATH=. python tests/golden/regenerate.py

and raise `planact.prompts.RENDERING` when it was the code that changed.
"""

from pathlib import Path

from planact.prompts import SETS, Message, executor_answer, executor_messages, planner_answer, planner_messages, replanner_messages
from planact.recipe import Agent
from planact.teaching.annotation import annotate_plan, plan_annotation_messages, replan_annotation_messages
from planact.types import Action, Observation, Op, Plan, PlanStep, Turn

FOLDER = Path(__file__).parent
INTENT = "Put the cheapest 'Tee' into the cart and tell me its price."


def page(name: str, error: str = "") -> Observation:
    text = f"RootWebArea '{name}'\n\t[1] link 'Cart'\n\t[2] textbox 'Search', value='é \"x\"'\n\tStaticText 'Welcome'"
    outline = f"RootWebArea '{name}'\n\tlink 'Cart'\n\ttextbox 'Search', value='é \"x\"'\n\tStaticText 'Welcome'"
    return Observation(text, outline, "http://shop.miniweb/", name, error=error)


def plan(*steps: str) -> Plan:
    return Plan(tuple(PlanStep(f"Why: {step}", step) for step in steps))


PLANS = [
    plan("Search for 'Tee'.", "Open the cheapest.", "Report its price."),
    plan("Open 'Tee'.", "Report its price."),
    plan("Report '$3'."),
]
TURNS = [  # the second answer cannot be read, the third action fails, the fourth keeps the plan of the third
    Turn(0, PLANS[0], page("Shop"), "", Action(Op.SEARCH, "2", "Tee", target="textbox 'Search'"), replanned=True),
    Turn(1, PLANS[0], page("Results"), "Let me think. " * 30, None),
    Turn(2, PLANS[1], page("Results", "no action found"), "", Action(Op.CLICK, "99", target="link 'Tee'", note="2 found"), replanned=True),
    Turn(3, PLANS[1], page("Results", "no element '99' on this page"), "", Action(Op.SCROLL, text="down")),
    Turn(4, PLANS[2], page("Tee"), "", Action(Op.STOP, text='$3\n"net"'), replanned=True),
]

Chats = dict[str, list[Message]]  # by what is special about them


def files() -> dict[str, Chats]:
    """Every golden file by name."""
    result = {"annotation.txt": annotation()}
    for prompts in SETS:
        result[f"{prompts}-planner.txt"] = planner(prompts)
        result[f"{prompts}-cot.txt"] = cot(prompts)
        for grammar in ("webrl", "browsergym"):
            result[f"{prompts}-{grammar}-executor.txt"] = executor(prompts, grammar)
    return result


def planner(prompts: str) -> Chats:
    def replan(done: int, plan_history: int | None) -> list[Message]:
        agent = Agent(prompts=prompts, plan_history=plan_history)
        return replanner_messages(agent, INTENT, TURNS[:done], page("Now", "no element '5' on this page"))

    return {
        "first plan": planner_messages(Agent(prompts=prompts), INTENT, page("Shop")),
        "replan after the first action, all earlier plans": replan(1, None),
        "replan after four actions, no earlier plan": replan(4, 0),
        "replan after four actions, one earlier plan": replan(4, 1),
        "replan after five actions, two earlier plans": replan(5, 2),
        "replan after five actions, all earlier plans": replan(5, None),
    }


def executor(prompts: str, grammar: str) -> Chats:
    def act(plan: Plan | None, done: int, now: Observation) -> list[Message]:
        return executor_messages(Agent(prompts=prompts, grammar=grammar), INTENT, plan, TURNS[:done], now)

    return {
        "first turn": act(PLANS[0], 0, page("Shop")),
        "later turn after an error": act(PLANS[1], 3, page("Results", "no element '99' on this page")),
        "later turn without an error": act(PLANS[2], 4, page("Tee")),
        "no plan could be read": act(Plan(), 0, page("Shop")),
        "ReAct, first turn": act(None, 0, page("Shop")),
        "ReAct, later turn": act(None, 1, page("Results")),
    }


def cot(prompts: str) -> Chats:
    """What an agent with reasoning reads and answers."""
    agent, thought = Agent(prompts=prompts, cot=True, plan_history=1), "The shop has a search box.\nI use it."
    return {
        "first plan": [*planner_messages(agent, INTENT, page("Shop")), planner_answer(PLANS[0], thought)],
        "replan": [*replanner_messages(agent, INTENT, TURNS[:4], page("Now")), planner_answer(PLANS[2], thought)],
        "action": [
            *executor_messages(agent, INTENT, PLANS[1], TURNS[:3], page("Results")),
            executor_answer(TURNS[2].action, "webrl", thought),
        ],
        "ReAct": [*executor_messages(agent, INTENT, None, TURNS[:1], page("Results")), executor_answer(TURNS[4].action, "webrl", thought)],
    }


def annotation() -> Chats:
    solved = [TURNS[0], TURNS[3], TURNS[4]]
    earlier = [annotate_plan(PLANS[0], [[1], [2], [3]], solved), annotate_plan(PLANS[1], [[2], [3]], solved)]
    return {
        "plan of a solved trajectory": plan_annotation_messages(INTENT, solved),
        "replan after two actions": replan_annotation_messages(INTENT, solved, earlier),
    }


def render(chats: Chats) -> str:
    """Chats as a text to be read in a diff."""
    return "".join(f"##### {title}\n" + "".join(f"----- {m['role']}\n{m['content']}\n" for m in chat) for title, chat in chats.items())


if __name__ == "__main__":
    for name, chats in files().items():
        (FOLDER / name).write_text(render(chats))

"""The protocol's test double and the run-wide budget."""

import subprocess
import sys

import pytest

from planact.llm import Budget, BudgetExceeded, ModelError, ScriptedLLM
from planact.types import Usage

HELLO = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say hello to us"}]


async def test_scripted_replies_come_in_order_and_run_out():
    llm = ScriptedLLM(["one", "two words"], name="teacher")
    assert (await llm.complete(HELLO, max_tokens=8)).text == "one"
    second = await llm.complete(HELLO, max_tokens=8)
    assert (second.text, second.finish_reason, second.cached) == ("two words", "stop", False)
    assert second.usage == Usage(prompt_tokens=6, completion_tokens=2, calls=1, usd=0.0)
    with pytest.raises(ModelError, match="teacher has 2 replies and was called 3 times"):
        await llm.complete(HELLO, max_tokens=8)
    assert llm.calls[0] == HELLO


async def test_scripted_function_sees_the_messages():
    llm = ScriptedLLM(lambda messages: messages[-1]["content"].upper())
    assert (await llm.complete(HELLO, max_tokens=8)).text == "SAY HELLO TO US"


async def test_recorded_calls_do_not_change_with_the_conversation():
    llm = ScriptedLLM(["a", "b"])
    messages = [{"role": "user", "content": "first"}]
    await llm.complete(messages, max_tokens=8)
    messages[0]["content"] = "changed"
    messages.append({"role": "assistant", "content": "a"})
    assert llm.calls == [[{"role": "user", "content": "first"}]]


def test_budget_without_limits_never_stops():
    budget = Budget()
    budget.add(Usage(10**9, 10**9, calls=1, usd=None))
    budget.check()


def test_budget_stops_at_the_limit_and_not_before():
    budget = Budget(max_usd=1.0, max_tokens=100)
    budget.add(Usage(60, 39, calls=1, usd=0.5))
    budget.check()
    budget.add(Usage(1, 0, calls=1, usd=0.0))
    with pytest.raises(BudgetExceeded, match="100 of max_tokens=100"):
        budget.check()
    dear = Budget(max_usd=1.0)
    dear.add(Usage(1, 1, calls=1, usd=1.0))
    with pytest.raises(BudgetExceeded, match="max_usd=1"):
        dear.check()


@pytest.mark.parametrize("limits, word", [({"max_usd": 1.0}, "usd_per_m_prompt"), ({"max_tokens": 100}, "token counts")])
def test_budget_that_cannot_be_counted_stops(limits, word):
    budget = Budget(**limits)
    budget.add(Usage(calls=1, usd=None))
    with pytest.raises(BudgetExceeded, match=word):
        budget.check()


def test_budget_ignores_what_was_free():
    budget = Budget(max_usd=1.0, max_tokens=100)
    budget.add(Usage())
    budget.check()


def test_import_is_light():
    code = "import sys, planact.llm, planact.endpoint, planact.store; assert not {'openai', 'torch', 'httpx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

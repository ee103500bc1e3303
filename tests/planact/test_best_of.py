"""Several answers for one turn: the action that most of them name is taken, at the price of all."""

import pytest

from planact.llm import Completion, EndpointUnusable, ModelError
from planact.loop import most_named, run_episode
from planact.recipe import Agent, RecipeError, load_recipe
from planact.types import StopReason, Usage
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks

ONE, TWO = 'do(action="Click", element="1")', 'do(action="Click", element="2")'
TASK = load_tasks("train")[0]


def answers(*texts):
    return [Completion(text, Usage(10, n, 1, usd=0.5)) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    "texts, taken",
    [
        ((ONE, TWO, TWO), 1),
        ((ONE, TWO), 0),  # as many votes: the first
        (("what?", "what?", TWO), 2),  # an unreadable answer names nothing
        (("what?", "how?"), 0),
        ((TWO, f"# Element: link\n{ONE}", ONE), 1),  # what is said about an action does not split the vote
    ],
)
def test_the_action_that_most_answers_name(texts, taken):
    completion = most_named(answers(*texts), "webrl")
    assert completion.text == texts[taken]
    # Everything is paid for: 10 prompt tokens each, 0 + 1 + ... completion tokens.
    n = len(texts)
    assert completion.usage == Usage(10 * n, n * (n - 1) // 2, n, usd=0.5 * n)


class Voters:
    """Answers by the seed."""

    name = "voters"

    def __init__(self):
        self.seeds = []

    async def complete(self, messages, *, max_tokens, temperature=0.0, seed=0, top_logprobs=0):
        self.seeds.append((seed, temperature))
        return Completion('exit(message="yes")' if seed % 2 else 'exit(message="no")', Usage(1, 1, 1))


async def test_an_episode_asks_with_seeds_of_its_own():
    env, llm = MiniwebEnv("short"), Voters()
    try:
        trajectory = await run_episode(TASK, env, Agent(planner="none", best_of=3, temperature=0.7), llm, seed=1)
    finally:
        await env.close()
    assert sorted(llm.seeds) == [(3, 0.7), (4, 0.7), (5, 0.7)]  # behind 0 to 2, those of seed 0; two of three say yes
    assert trajectory.stop_reason == StopReason.ANSWERED and trajectory.answer == "yes" and trajectory.executor_usage.calls == 3


class Unreliable(Voters):
    """The calls with these seeds fail."""

    def __init__(self, **failing):
        super().__init__()
        self.failing = failing

    async def complete(self, messages, *, seed=0, **settings):
        if error := self.failing.get(f"seed{seed}"):
            raise error
        return await super().complete(messages, seed=seed, **settings)


async def episode_with(llm):
    env = MiniwebEnv("short")
    try:
        return await run_episode(TASK, env, Agent(planner="none", best_of=3, temperature=0.7), llm)
    finally:
        await env.close()


async def test_answers_that_came_vote_and_are_counted_where_others_failed():
    trajectory = await episode_with(Unreliable(seed0=ModelError("HTTP 500"), seed2=ModelError("HTTP 500")))
    assert trajectory.answer == "yes" and trajectory.executor_usage.calls == 1


async def test_no_answer_at_all_ends_the_episode_and_a_dead_endpoint_the_run():
    trajectory = await episode_with(Unreliable(**{f"seed{n}": ModelError(f"HTTP 50{n}") for n in range(3)}))
    assert (trajectory.stop_reason, trajectory.error) == (StopReason.MODEL_ERROR, "HTTP 500")
    with pytest.raises(EndpointUnusable, match="HTTP 401"):
        await episode_with(Unreliable(seed1=EndpointUnusable("HTTP 401")))


def test_several_greedy_answers_are_refused():
    with pytest.raises(RecipeError, match="agent.best_of: at temperature 0 all answers are the same"):
        load_recipe("recipes/tiny/react.yaml", ["agent.best_of=3"])

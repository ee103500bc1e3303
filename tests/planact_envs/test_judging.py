"""One question to a judge, and what is recorded of it."""

from dataclasses import replace

import pytest

from planact.llm import BudgetExceeded, EndpointUnusable, ModelError, ScriptedLLM
from planact.types import Judgement, Usage, content_hash
from planact_envs.judging import ask_judge

ASK = [{"role": "user", "content": "is it done"}]


def read(reply):
    return {"yes": True, "no": False}.get(reply)


class Judge(ScriptedLLM):
    """A scripted judge that remembers how it was asked, cuts its replies when told to, or fails."""

    def __init__(self, reply, finish="stop", error=None):
        super().__init__([reply], name="judge-1")
        self.finish, self.error = finish, error

    async def complete(self, messages, **settings):
        self.settings = settings
        if self.error:
            raise self.error
        return replace(await super().complete(messages, **settings), finish_reason=self.finish)


@pytest.mark.parametrize("reply, verdict", [("yes", True), ("no", False), ("maybe", None), ("", None)])
async def test_the_reply_is_kept_with_what_was_read_from_it(reply, verdict):
    judge = Judge(reply)
    said = await ask_judge(judge, "fuzzy_match", ASK, read, max_tokens=9, seed=4)
    # three words asked, as many answered as the reply has
    assert said == Judgement("fuzzy_match", "judge-1", content_hash(ASK), reply, verdict, Usage(3, len(reply.split()), calls=1))
    assert judge.settings == {"max_tokens": 9, "temperature": 0.0, "seed": 4}


async def test_a_reply_that_was_cut_has_no_verdict():
    said = await ask_judge(Judge("yes", finish="length"), "fuzzy_match", ASK, read)
    assert (said.verdict, said.response) == (None, "yes")


async def test_a_failed_call_has_no_verdict_and_says_why():
    said = await ask_judge(Judge("yes", error=ModelError("no answer in 5 s")), "fuzzy_match", ASK, read)
    assert (said.verdict, said.response, said.usage) == (None, "no answer in 5 s", Usage())


@pytest.mark.parametrize("error", [BudgetExceeded("spent"), EndpointUnusable("no key")])
async def test_no_money_or_no_endpoint_stops_the_run(error):
    with pytest.raises(type(error)):
        await ask_judge(Judge("yes", error=error), "fuzzy_match", ASK, read)


async def test_the_hash_tells_prompts_apart_by_their_images():
    def ask(url):
        return [{"role": "user", "content": [{"type": "text", "text": "is it"}, {"type": "image_url", "image_url": {"url": url}}]}]

    pictures = "data:image/png;base64,AA==", "data:image/png;base64,AB=="
    said = [await ask_judge(Judge("yes"), "picture", ask(url), read) for url in pictures]
    assert len({judgement.prompt_hash for judgement in said}) == 2
    assert said[0].usage.prompt_tokens == 2  # the words, not the image

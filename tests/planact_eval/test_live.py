"""What the progress line says."""

from planact.types import Judgement, Outcome, StopReason, Trajectory, Turn, Usage
from planact_eval.live import Live, short


def episode(success, reason=StopReason.ANSWERED, usage=None):
    turn = Turn(0, None, None, "", None, executor=usage or Usage(1000, 200, usd=0.25))
    return Trajectory("t", "h", "", (turn,), reason, Outcome(success))


def test_the_note_counts_verdicts_tokens_and_dollars():
    live = Live()
    for made in (episode(True), episode(False), episode(None, StopReason.ENV_ERROR), episode(None, StopReason.ENV_ERROR)):
        live.add(made)
    # One of four succeeded; Wilson's interval of 1/4 is [4.6 %, 69.9 %]. 4 * 1,200 tokens, 4 * $0.25.
    assert live.note() == "success 25.0% [5%, 70%], unscored: 2 env_error, 4.8k tokens, $1.00"


def test_the_judge_counts_too():
    judged = Outcome(True, judgements=(Judgement("fuzzy_match", "m", "h", "yes", True, Usage(90, 10, usd=0.5)),))
    live = Live()
    live.add(Trajectory("t", "h", "", (), StopReason.ANSWERED, judged))
    assert live.note().endswith(", 100 tokens, $0.50")


def test_an_unknown_or_absent_price_is_left_out():
    live = Live()
    live.add(episode(True, usage=Usage(10, 5, usd=None)))
    assert live.note().endswith(", 15 tokens")


def test_counts_are_short():
    assert [short(n) for n in (0, 999, 1000, 12_345, 4_500_000)] == ["0", "999", "1.0k", "12.3k", "4.5M"]

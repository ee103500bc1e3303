"""What stored items have cost, whatever they are."""

from planact.spending import note_spent, spent, usage_of
from planact.store import RunStore, read_run
from planact.types import Judgement, Observation, Outcome, Plan, StopReason, Trajectory, Turn, Usage, to_dict


def test_answers_trajectories_and_judgements_are_added_up(tmp_path):
    page, planner, executor = Observation("", "", ""), Usage(100, 10, 1, usd=0.5), Usage(20, 2, 1, usd=0.25)
    turn = Turn(0, Plan(), page, "", None, planner=planner, executor=executor)
    judged = Outcome(True, judgements=(Judgement("fuzzy_match", "judge", "hash", "YES", True, Usage(7, 1, 1, usd=0.125)),))
    episode = to_dict(Trajectory("b", "h", "", (turn, turn), StopReason.ANSWERED, judged))
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        assert spent(store) == Usage()
        store.put("a", {"text": "no", "rejected": "format", "usage": to_dict(Usage(1000, 50, 3, usd=1.0))}, kind="plan")
        store.put("b", episode, kind="trajectory")
        store.put("b/judge", {"intent": "x", "rejected": "", "outcome": episode["outcome"]}, kind="verdict")
    with read_run(tmp_path / "run.sqlite") as store:
        # 1000 + 2 * (100 + 20) + 7 prompt tokens; 50 + 2 * (10 + 2) + 1 completion tokens; 3 + 4 + 1 calls; 1 + 2 * 0.75 + 0.125 USD
        assert spent(store) == Usage(1247, 75, 8, usd=2.625)


def test_one_unknown_price_makes_the_sum_unknown(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        store.put("a", {"usage": to_dict(Usage(10, 1, 1, usd=1.0))}, kind="plan")
        store.put("b", {"usage": to_dict(Usage(10, 1, 1, usd=None))}, kind="class")
        assert spent(store) == Usage(20, 2, 2, usd=None)


def test_an_item_that_nobody_paid_for_costs_nothing():
    assert usage_of({"value": 1}) == Usage()


def test_calls_without_an_item_count_once_they_are_noted(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        store.put("a", {"usage": to_dict(Usage(10, 1, 1, usd=1.0))}, kind="plan")
        note_spent(store, Usage(30, 3, 3, usd=3.0))  # two calls of an episode that was cut off
        assert spent(store) == Usage(30, 3, 3, usd=3.0)
        for key in ("b", "c", "d"):  # and a later run that was killed before its note
            store.put(key, {"usage": to_dict(Usage(10, 1, 1, usd=1.0))}, kind="plan")
        assert spent(store) == Usage(40, 4, 4, usd=4.0)

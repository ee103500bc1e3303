"""How far a judge agrees with what is known, and how much its probabilities are worth. Each a pure function with its definition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

BINS = 10  # of equal width over 0 to 1

Pairs = Sequence[tuple[str, str]]  # (what is known, what the judge says)


def accuracy(pairs: Pairs) -> float | None:
    """Share of the pairs whose two sides are the same; None without a pair."""
    return sum(known == said for known, said in pairs) / len(pairs) if pairs else None


def kappa(pairs: Pairs) -> float | None:
    """Agreement beyond chance, 1 at most; None without a pair, and where chance alone would agree always.

    (p_o - p_e) / (1 - p_e), with p_o the share of equal pairs and p_e = sum over kinds of the product of their two shares.
    J. Cohen 1960, A Coefficient of Agreement for Nominal Scales, Educational and Psychological Measurement 20:37-46.
    """
    if not pairs:
        return None
    known, said = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(known[kind] * said[kind] for kind in known) / len(pairs) ** 2
    return None if chance == 1 else (accuracy(pairs) - chance) / (1 - chance)


def confusion(pairs: Pairs, kinds: Sequence[str]) -> list[list[int]]:
    """One row for each known kind, one column for each said one, both in the order of `kinds`."""
    counts = Counter(pairs)
    return [[counts[known, said] for said in kinds] for known in kinds]


@dataclass(frozen=True)
class Detection:
    """How well YES stands for solved: precision tp / (tp + fp), recall tp / (tp + fn), F1 their harmonic mean.

    None where nothing counts.
    """

    tp: int  # solved, and said to be
    fp: int  # said to be solved, and not
    fn: int  # solved, and said not to be
    tn: int

    @property
    def precision(self) -> float | None:
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None

    @property
    def f1(self) -> float | None:
        wrong = self.fp + self.fn
        return 2 * self.tp / (2 * self.tp + wrong) if self.tp + wrong else None


def detection(verdicts: Sequence[tuple[bool, bool]]) -> Detection:
    """From (solved, said to be solved)."""
    counts = Counter(verdicts)
    return Detection(counts[True, True], counts[False, True], counts[True, False], counts[False, False])


def brier(told: Sequence[tuple[bool, float]]) -> float | None:
    """Mean of (p - o)², from (solved, probability told): 0 is perfect, 0.25 what a constant 0.5 gets; None without one.

    G. W. Brier 1950, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78:1-3, for one of the
    two classes, which halves his sum over both.
    """
    return fsum((p - solved) ** 2 for solved, p in told) / len(told) if told else None


@dataclass(frozen=True)
class Bin:
    """Probabilities from `low` up to `high`, which belongs to the next bin but for the last one."""

    low: float
    high: float
    count: int
    told: float | None  # their mean; None of an empty bin
    solved: float | None  # share that was solved


def reliability(told: Sequence[tuple[bool, float]], bins: int = BINS) -> list[Bin]:
    """The reliability table: what share of the episodes was solved to which about the same probability was told."""
    members: list[list[tuple[bool, float]]] = [[] for _ in range(bins)]
    for solved, p in told:
        members[min(int(p * bins), bins - 1)].append((solved, p))
    return [
        Bin(
            n / bins,
            (n + 1) / bins,
            len(inside),
            fsum(p for _, p in inside) / len(inside) if inside else None,
            sum(solved for solved, _ in inside) / len(inside) if inside else None,
        )
        for n, inside in enumerate(members)
    ]


def calibration_error(told: Sequence[tuple[bool, float]], bins: int = BINS) -> float | None:
    """Expected calibration error: sum over the bins of count / n times |share solved - mean told|; None without one.

    M. P. Naeini, G. F. Cooper and M. Hauskrecht 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI, section
    on calibration measures; of the probability of solved, not of the confidence in the likelier verdict (Guo 2017, arXiv 1706.04599).
    """
    if not told:
        return None
    return fsum(one.count * abs(one.solved - one.told) for one in reliability(told, bins) if one.count) / len(told)

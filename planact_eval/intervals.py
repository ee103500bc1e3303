"""Intervals and rates of repeated trials, each a pure function with its definition."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from math import comb, sqrt

Z = 1.959964  # two-sided 95 % of the normal distribution
DRAWS = 2000  # bootstrap samples; ours


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a rate, 0 to 1; (0, 1) when nothing was tried.

    (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n), E. B. Wilson 1927, JASA 22:209-212, equation 4 of Brown, Cai and
    DasGupta 2001, Statistical Science 16:101-133, which recommends it for small n. It takes trials for independent.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is not a rate")
    if n == 0:
        return 0.0, 1.0
    p, z2 = successes / n, Z * Z
    middle = p + z2 / (2 * n)
    half = Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)  # exact where rounding would not be


def cluster_bootstrap(values: Mapping[str, Sequence[float]], seed: int = 0, draws: int = DRAWS) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of all values when whole clusters are drawn again, with replacement.

    Tasks of one template, and repeats of one task, succeed and fail together; an interval that takes them for independent is
    too narrow. Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 8 and 13. Raises ValueError without a value.
    """
    clusters = [(sum(cluster), len(cluster)) for cluster in values.values() if cluster]
    if not clusters:
        raise ValueError("there is no value, so its mean has no interval")
    dice = random.Random(seed)
    means = []
    for _ in range(draws):
        drawn = dice.choices(clusters, k=len(clusters))
        means.append(sum(total for total, _ in drawn) / sum(n for _, n in drawn))
    means.sort()
    return means[int(0.025 * draws)], means[min(draws - 1, int(0.975 * draws))]


def pass_hat_k(counts: Sequence[tuple[int, int]], k: int) -> float:
    """pass^k: the chance that k episodes of a task all succeed, mean over tasks, from (successes, episodes) of each.

    mean of C(c, k) / C(n, k), Yao 2024, tau-bench, arXiv 2406.12045, section 3. Raises ValueError when a task has fewer than k episodes.
    """
    if not counts or any(n < k for _, n in counts) or k < 1:
        raise ValueError(f"pass^{k} needs {k} episodes of every task")
    return sum(comb(c, k) / comb(n, k) for c, n in counts) / len(counts)

"""Pairs of request and plan on a first page: what expansion and targeted augmentation start from and make more of (paper 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping
from urllib.parse import urlsplit

from planact.types import Observation, Plan, Trajectory


@dataclass(frozen=True)
class Pair:
    """One planner row before it is rendered."""

    id: str  # unique: "seed/<task>", "expansion/<batch>/<number>", "targeted/<seed pair>/<number>"
    intent: str
    page: Observation  # the first page
    plan: Plan
    site: str
    source: str  # "seed", "synthetic", "expansion" or "targeted"
    parent: str = ""  # id of the pair whose page, and for a variant whose plan, it goes back to
    labels: Mapping[str, str] = field(default_factory=dict)  # e.g. the failure class that called for it


def pair_of(trajectory: Trajectory, plan: Plan, source: str) -> Pair:
    """The pair that a solved trajectory and its grounded plan make."""
    page = trajectory.turns[0].observation
    return Pair(f"{source}/{trajectory.task_id}", trajectory.intent, page, plan, site_of(page.url), source)


def site_of(url: str) -> str:
    """The host that a page is on: pairs are shown to the teacher by site."""
    return urlsplit(url).netloc

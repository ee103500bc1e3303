"""People, towns and dates that all sites share. All invented."""

from __future__ import annotations

import random
from dataclasses import dataclass

ME = "Robin Vale"  # the user who is always logged in, on every site
TODAY = "14 May 2025"  # the date of anything that the user makes

FIRST = (
    "Mira", "Jonas", "Tessa", "Arlo", "Nadia", "Felix", "Ines", "Oskar", "Petra", "Silas", "Greta", "Hugo", "Lena", "Milo",
    "Rosa", "Theo", "Vera", "Otto", "Clara", "Emil",
)  # fmt: skip
LAST = (
    "Holt", "Brandt", "Keller", "Moss", "Quinn", "Sorel", "Tanner", "Ulrich", "Voss", "Winter", "Ashby", "Carver", "Dunn",
    "Fenn", "Grove", "Lark",
)  # fmt: skip
TOWN_STARTS = ("Bran", "Cor", "Dal", "Elm", "Fen", "Gar", "Hol", "Mar", "Nor", "Ost", "Pel", "Ros")
TOWN_ENDS = ("by", "dale", "ford", "mere", "stead", "wick")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip


@dataclass(frozen=True)
class Crowd:
    """People and towns, each once, in an order that the seed sets."""

    names: tuple[str, ...]
    towns: tuple[str, ...]


def crowd(rng: random.Random, size: int = 60) -> Crowd:
    """`size` people with different names and as many different towns."""
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    towns = [start + end for start in TOWN_STARTS for end in TOWN_ENDS]
    return Crowd(tuple(rng.sample(names, size)), tuple(rng.sample(towns, size)))


def date(rng: random.Random, year: int) -> str:
    """A day of the year, as pages show it."""
    return f"{rng.randint(1, 28)} {rng.choice(MONTHS[:4] if year == 2025 else MONTHS)} {year}"

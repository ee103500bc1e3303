"""How far it is from one place of the map to another. Whole numbers only, so that every machine shows the same page."""

from __future__ import annotations

from dataclasses import dataclass

from planact_envs.miniweb.database import Row


@dataclass(frozen=True)
class Mode:
    """`minutes` for 10 km; `detour` in tenths of the way along the grid of streets."""

    minutes: int
    detour: int


MODES = {"Drive": Mode(15, 12), "Bike": Mode(40, 10), "Walk": Mode(120, 10)}  # ours; cars go around what feet and bikes cross


@dataclass(frozen=True)
class Route:
    tenths: int  # of a kilometre
    minutes: int  # rounded up

    @property
    def km(self) -> str:
        return kilometres(self.tenths)


def route(start: Row, end: Row, mode: str) -> Route:
    """The route between two rows of map_place. `mode` is one of MODES."""
    way = MODES[mode]
    tenths = (abs(start["x"] - end["x"]) + abs(start["y"] - end["y"])) * way.detour // 10
    return Route(tenths, -(-tenths * way.minutes // 100))


def kilometres(tenths: int) -> str:
    """Tenths of a kilometre as pages show them: 123 is "12.3"."""
    return f"{tenths // 10}.{tenths % 10}"

"""The training curve of a model card: a table of a few steps and a drawing without any reference to elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROWS = 12  # of the table
WIDTH, HEIGHT, MARGIN = 640, 240, 40  # of the drawing, in pixels
COLUMNS = {  # key in curve.json -> heading
    "loss": "loss",
    "mean_token_accuracy": "token accuracy",
    "eval_loss": "held-out loss",
    "eval_mean_token_accuracy": "held-out token accuracy",
    "plan_valid": "valid plans",
    "plan_exact": "exact plans",
    "action_exact": "exact actions",
}

Curve = Sequence[Mapping[str, Any]]


def table(curve: Curve) -> list[str]:
    """Markdown of at most ROWS steps, the first and the last among them."""
    steps: dict[int, dict[str, Any]] = {}
    for entry in curve:
        steps.setdefault(entry["step"], {}).update({key: value for key, value in entry.items() if key in COLUMNS})
    columns = [key for key in COLUMNS if any(key in values for values in steps.values())]
    if not columns:
        return []
    lines = ["| step | " + " | ".join(COLUMNS[key] for key in columns) + " |", "|---|" + "---|" * len(columns)]
    for step in _spread(sorted(steps), ROWS):
        cells = [f"{steps[step][key]:.4g}" if key in steps[step] else "" for key in columns]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return lines


def _spread(steps: Sequence[int], count: int) -> list[int]:
    if len(steps) <= count:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (count - 1))] for i in range(count)]


def drawing(curve: Curve) -> str:
    """An SVG of the loss, and of the held-out loss where it was measured, over the steps; empty with fewer than two points."""
    lines = {key: [(entry["step"], entry[key]) for entry in curve if key in entry] for key in ("loss", "eval_loss")}
    points = [point for line in lines.values() for point in line]
    if len({step for step, _ in points}) < 2:
        return ""
    left, right = min(step for step, _ in points), max(step for step, _ in points)
    top = max(value for _, value in points) or 1.0

    def place(step: float, value: float) -> str:
        x = MARGIN + (step - left) / (right - left) * (WIDTH - 2 * MARGIN)
        return f"{x:.1f},{HEIGHT - MARGIN - value / top * (HEIGHT - 2 * MARGIN):.1f}"

    drawn = [
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(place(*point) for point in lines[key])}"/>'
        for key, colour in (("loss", "#1f77b4"), ("eval_loss", "#d62728"))
        if lines[key]
    ]
    words = [
        _text(MARGIN, HEIGHT - 12, f"step {left}"),
        _text(WIDTH - 2 * MARGIN, HEIGHT - 12, f"step {right}"),
        _text(4, MARGIN, f"{top:.3g}"),
        _text(4, HEIGHT - MARGIN, "0"),
        _text(MARGIN, 20, "training loss (blue)" + (", held-out loss (red)" if lines["eval_loss"] else "")),
    ]
    axis = f'<path fill="none" stroke="#888" d="M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}"/>'
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    body = "\n".join(['<rect width="100%" height="100%" fill="white"/>', axis, *drawn, *words])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">\n{body}\n</svg>\n'


def _text(x: int, y: int, words: str) -> str:
    return f'<text x="{x}" y="{y}" fill="#444">{words}</text>'

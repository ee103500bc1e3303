"""Success rate of episodes with two 95 % intervals, for `evaluate.load("planact_eval/hf_metrics/success_rate")`."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from planact_eval.intervals import cluster_bootstrap, wilson

VERDICTS = ("success", "failure", "error", "unscored")
DESCRIPTION = """Solved episodes of all planned ones. An episode that broke ("error") or got no verdict ("unscored") is never solved
and never left out. The Wilson interval takes episodes for independent; the bootstrap draws whole task templates again."""
INPUTS = """predictions: a verdict for each planned episode, one of success, failure, error, unscored
references: the template of each episode's task"""


class SuccessRate(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=DESCRIPTION, citation="", inputs_description=INPUTS, features=features)

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        """Raises ValueError on an unknown verdict."""
        if unknown := sorted(set(predictions) - set(VERDICTS)):
            raise ValueError(f"no verdict is called {unknown[0]!r}; verdicts are {', '.join(VERDICTS)}")
        counts = {verdict: list(predictions).count(verdict) for verdict in VERDICTS}
        by_template: dict[str, list[float]] = {}
        for verdict, template in zip(predictions, references, strict=True):
            by_template.setdefault(template, []).append(float(verdict == "success"))
        low, high = wilson(counts["success"], len(predictions))
        boot_low, boot_high = cluster_bootstrap(by_template)
        intervals = {"wilson_low": low, "wilson_high": high, "bootstrap_low": boot_low, "bootstrap_high": boot_high}
        return {"success_rate": counts["success"] / len(predictions), **intervals, "planned": len(predictions), **counts}

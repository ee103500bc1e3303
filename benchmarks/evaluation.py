"""How much time and memory the evaluation harness takes of its own, with real episodes of miniweb-short.

    python benchmarks/evaluation.py [--json]

    wall_over_ideal_N   wall time of an evaluation with N episodes in flight / the ideal       aim 1.10 or less at 8, 1.25 or less at 32
    cpu_ms_N            processor time of the harness for one call, world and storing included: below latency / N, or N are not kept busy
    wall_over_model_N   that wall time / (seconds of all model calls / N), which forgets the long last episodes
    mib_per_episode     private memory for each further episode in flight, in process: (peak at 64 - peak at 8) / 56
    chromium_mib        the same in Chromium, its processes included: (peak at 8 - peak at 2) / 6; left out without a browser

The scripted teacher plays the executor behind a server with a fixed latency, in another process. The ideal is the makespan of list
scheduling: the episodes, in the order in which the harness starts them, each given to the first of N slots that is free. An episode then
takes as long as alone: its seconds at latency 0 and one episode in flight, measured in the same run, plus calls x latency. Startup, the
wait for the client to reach its calls in flight, and storing are the harness's cost.
"""

from __future__ import annotations

import argparse
import heapq
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from leaks import descendants, resident

from planact.recipe import Recipe, load_recipe
from planact.types import Trajectory
from planact_envs.chromium.launch import has_chromium
from planact_envs.suites import load_suite
from planact_eval.planned import planned_episodes
from planact_eval.runner import evaluate, longest_first

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script has its own folder there, and the server is among the tests
from tests.openai_server import serving

RECIPE = Path(__file__).resolve().parents[1] / "recipes/tiny/react.yaml"
EPISODES = 96
LATENCY = 1.0  # seconds for one call; an 8B model under load takes about as long
AIMS = {8: 1.10, 32: 1.25}  # episodes in flight -> wall / ideal
MEMORY_LATENCY = 0.2  # seconds
MEMORY = {
    "mib_per_episode": ("miniweb-short", 96, 8, 64),
    "chromium_mib": ("miniweb-short-chromium", 16, 2, 8),
}  # suite, episodes, few, many
SAMPLE = 0.2  # seconds between two looks at a process's memory


def recipe_for(url: str, suite: str, episodes: int, in_flight: int) -> Recipe:
    endpoint = [f"endpoints.executor.{pair}" for pair in (f"base_url={url}", "model=teacher", "max_in_flight=128")]
    evaluated = [f"eval.suite={suite}", "eval.split=train", f"eval.limit={episodes}", f"eval.episodes_in_flight={in_flight}"]
    return load_recipe(RECIPE, ["eval.serving=endpoint", *endpoint, *evaluated])


def play(url: str, in_flight: int) -> tuple[float, float, list[Trajectory]]:
    """Seconds of a whole evaluation by the clock and of the processor, and its trajectories."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        _, _, trajectories = evaluate(recipe_for(url, "miniweb-short", EPISODES, in_flight), Path(folder))
        return time.perf_counter() - wall, time.process_time() - cpu, trajectories


def calls(trajectory: Trajectory) -> int:
    return trajectory.executor_usage.calls


def makespan(lengths: Sequence[float], slots: int) -> float:
    """Of list scheduling: each job in turn goes to the slot that is free first."""
    free = [0.0] * slots
    for length in lengths:
        heapq.heappush(free, heapq.heappop(free) + length)
    return max(free)


def walls() -> dict[str, float]:
    with serving("--teacher", "miniweb-short") as url:
        play(url, 8)  # imports and caches
        _, _, alone = play(url, 1)
    seconds = {trajectory.task_id: trajectory.seconds + calls(trajectory) * LATENCY for trajectory in alone}
    suite = load_suite("miniweb-short")
    order = longest_first(planned_episodes(recipe_for("http://127.0.0.1/v1", "miniweb-short", EPISODES, 1), suite), suite)
    lengths = [seconds[episode.task.id] for episode in order]
    found: dict[str, float] = {"calls": sum(map(calls, alone))}
    with serving("--teacher", "miniweb-short", "--latency", str(LATENCY)) as url:
        for in_flight in AIMS:
            wall, cpu, played = play(url, in_flight)
            assert [calls(one) for one in played] == [calls(one) for one in alone], "the episodes are not the same"
            found[f"wall_over_ideal_{in_flight}"] = wall / makespan(lengths, in_flight)
            found[f"cpu_ms_{in_flight}"] = 1000 * cpu / found["calls"]
            found[f"wall_over_model_{in_flight}"] = wall / (LATENCY * found["calls"] / in_flight)
    return found


def memory() -> dict[str, float]:
    found = {}
    with serving("--teacher", "miniweb-short", "--latency", str(MEMORY_LATENCY)) as url:
        for name, (suite, episodes, few, many) in MEMORY.items():
            if "chromium" in suite and not has_chromium():
                continue
            less, more = (peak(url, suite, episodes, in_flight) for in_flight in (few, many))
            found[name] = (more - less) / (many - few)
    return found


def peak(url: str, suite: str, episodes: int, in_flight: int) -> float:
    """MiB of an evaluation in a process of its own, with all that it starts, at its highest."""
    command = [sys.executable, __file__, "--play", url, suite, str(episodes), str(in_flight)]
    highest = 0.0
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            highest = max(highest, sum(resident(pid) for pid in (process.pid, *descendants(process.pid))) / 1024)
            time.sleep(SAMPLE)
    if process.returncode:
        raise RuntimeError(f"the evaluation ended with code {process.returncode}; try it alone: {' '.join(command)}")
    return highest


def shown(found: Mapping[str, float]) -> list[str]:
    aims = {f"wall_over_ideal_{in_flight}": aim for in_flight, aim in AIMS.items()}
    return [f"{name:20} {value:8.2f}{f'  (aim at most {aims[name]:g})' if name in aims else ''}" for name, value in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--play", nargs=4, metavar=("URL", "SUITE", "EPISODES", "IN_FLIGHT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.play:
        url, suite, episodes, in_flight = args.play
        with tempfile.TemporaryDirectory() as folder:
            evaluate(recipe_for(url, suite, int(episodes), int(in_flight)), Path(folder))
        return
    found = walls() | memory()
    if args.json:
        print(json.dumps(found | {"episodes": EPISODES, "latency": LATENCY, "aims": AIMS}))
        return
    print("\n".join(shown(found)))


if __name__ == "__main__":
    main()

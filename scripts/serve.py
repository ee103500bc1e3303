"""Serve the models of a recipe with vLLM until Ctrl-C: one server for each base model, each trained adapter under a name of its own.

    python scripts/serve.py --config recipes/qwen3-8b/lora.yaml

Prints what makes an evaluation use these servers. They listen on 127.0.0.1 alone.
"""

import argparse
import asyncio

from planact.cli import load_or_exit, recipe_arguments, require, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe_arguments(parser)
    parser.add_argument("--port", type=int, default=8000, help="of the first server; the next one has the next (default: 8000)")
    args = parser.parse_args()
    recipe = load_or_exit(args)
    require(recipe, "agent", "eval")

    def stage() -> None:
        from planact_eval.planned import models_of
        from planact_eval.players import served

        async def forever() -> None:
            async with served(recipe, models_of(recipe, args.runs), args.runs / "serving", args.port) as servers:
                for role, server in servers.items():
                    print(f"--set endpoints.{role}.base_url={server.base_url} --set endpoints.{role}.model={server.model}", flush=True)
                print("--set eval.serving=endpoint\nCtrl-C stops", flush=True)
                await asyncio.Event().wait()

        asyncio.run(forever())

    run(args, stage)


if __name__ == "__main__":
    main()

"""Make the tiny base model: crawl miniweb, train a tokenizer, pretrain a fresh LFM2 on drills, save a folder that any recipe can name."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from datasets import Dataset

from planact.recipe import Recipe
from planact_train.pretraining import conversations, crawl, phrases_of, wander
from planact_train.settings import MUON, sft_config
from planact_train.tiny import new_model, train_tokenizer
from planact_train.trainer import AnswerTrainer, ProgressLine

HELD_OUT = 128  # conversations on which the exactness of answers is measured


def pretrain(recipe: Recipe, out: Path) -> float:
    """Train the base that `recipe.pretrain` describes and save it in `out`. Returns the share of held-out answers that are exact."""
    shape, settings, rows = recipe.pretrain, recipe.sft_for("planner"), _rows(recipe)
    tokenizer = train_tokenizer((m["content"] for row in rows for m in (*row["prompt"], *row["completion"])), shape.vocab_size)
    model = new_model(tokenizer, shape.hidden_size, shape.layers, recipe.seed)
    print(f"base model: {model.num_parameters():,} parameters, vocabulary {len(tokenizer)}")
    rows = Dataset.from_list(rows)
    config = sft_config(settings, out / "training", recipe.seed, assistant_only_loss=True)
    trainer = AnswerTrainer(
        model=model,
        args=config,
        train_dataset=rows.select(range(recipe.pretrain.conversations)),
        eval_dataset=rows.select(range(recipe.pretrain.conversations, len(rows))),
        processing_class=tokenizer,
        callbacks=[ProgressLine("pretraining")],
        muon=settings.get("optim") == MUON,
    )
    trainer.train()
    exact = trainer.evaluate()["eval_exact"]
    trainer.model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    shutil.rmtree(out / "training")
    return exact


def _rows(recipe: Recipe) -> list[dict]:
    pages = asyncio.run(crawl())
    pages += asyncio.run(wander(phrases_of(pages), recipe.pretrain.walks, recipe.seed))
    return list(conversations(pages, HELD_OUT + recipe.pretrain.conversations, recipe.seed))

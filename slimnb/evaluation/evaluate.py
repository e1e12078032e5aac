"""A model and a benchmark -> one row an item, and scores.

Columns of the items, for every benchmark: id, subject, prompt_sha256, gold, prediction, correct_METRIC (bool) for each
of its metrics, and truncated. Multiple choice: log_likelihoods, answer_tokens, answer_bytes (lists, one a choice).
Generation: text, extracted_METRIC, tokens, hit_limit, and of the right solution gold_log_likelihood (nats) and
gold_bytes. No benchmark text is stored: it is joined by id where the data set is present.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from slimnb.benchmarks import Benchmark, Questions
from slimnb.benchmarks.gsm8k import Gsm8k, extract_flexible, extract_strict, normalize
from slimnb.compute.sharding import is_sharded
from slimnb.evaluation.generation import SLOTS, generate
from slimnb.evaluation.gold import bits_per_byte
from slimnb.evaluation.scoring import score_choices
from slimnb.machine.processes import Processes
from slimnb.machine.progress import console
from slimnb.models.load import LoadedModel
from slimnb.store.records import ResultBySubject, Score

Advance = Callable[[int], None]


def evaluate(
    loaded: LoadedModel,
    benchmark: Benchmark,
    questions: Questions,
    advance: Advance = lambda items: None,
    *,
    chat_template: bool = False,
    token_budget: int | None = None,
    slots: int = SLOTS,
) -> tuple[pd.DataFrame, ResultBySubject]:
    """Ask a model every question and grade what it answers.

    Args:
        advance: called with the number of items just done.
        chat_template: put each prompt into the model's own chat form, as one user's turn.
        token_budget: tokens in a batch of answers that are scored; None finds it from the free memory.
        slots: answers that are generated together.

    Returns:
        The items [n rows] in the benchmark's order and the result, with k of n and an interval for every metric.
    """
    start = time.perf_counter()
    loaded.model.eval()
    if chat_template:
        questions = questions.as_chat(loaded.tokenizer)
    processes = Processes(in_step=is_sharded(loaded.model))
    mine = processes.share(questions.items)
    if isinstance(benchmark, Gsm8k):
        rows = _generated(loaded, benchmark, mine, advance, slots, token_budget)
    else:
        rows = _chosen(loaded, benchmark, mine, advance, token_budget)
    rows = processes.collect(rows)
    items = pd.DataFrame(rows)
    seconds = time.perf_counter() - start
    metrics = {metric: _share(items, f"correct_{metric}") for metric in benchmark.metrics}
    shown = f"correct_{benchmark.primary}"
    by_subject = {str(subject): _share(part, shown) for subject, part in items.groupby("subject")}
    truncated = int(items["truncated"].to_numpy(dtype=bool).sum())
    if truncated:
        console.print(
            f"{benchmark.name}: {truncated} of {len(items)} prompts are longer than the model reads; their left was cut"
        )
    limited = _share(items, "hit_limit") if "hit_limit" in items else None
    return items, ResultBySubject(
        metrics=metrics,
        primary=benchmark.primary,
        shots=questions.shots,
        items=len(items),
        seconds=seconds,
        prompts_sha256=questions.prompts_sha256,
        chat_template=chat_template,
        truncated=truncated,
        chance=benchmark.chance(questions.items),
        hit_limit=limited,
        gold_bits_per_byte=bits_per_byte(items),
        subjects=by_subject if len(by_subject) > 1 else {},
    )


def _chosen(
    loaded: LoadedModel, benchmark: Benchmark, items: list[Any], advance: Advance, token_budget: int | None
) -> list[dict[str, Any]]:
    rows = []
    scores = score_choices(loaded.model, loaded.tokenizer, items, token_budget, advance)
    for item, score in zip(items, scores, strict=True):
        likelihoods = np.array(score.log_likelihoods)
        best = int(likelihoods.argmax())
        per_character = likelihoods / item.lengths
        right = {"acc": best == item.gold, "acc_norm": int(per_character.argmax()) == item.gold}
        prediction = int(per_character.argmax()) if benchmark.primary == "acc_norm" else best
        rows.append(
            {
                **_identity(item),
                "gold": item.gold,
                "prediction": prediction,
                **{f"correct_{metric}": right[metric] for metric in benchmark.metrics},
                "log_likelihoods": score.log_likelihoods,
                "answer_tokens": score.tokens,
                "answer_bytes": [len(choice.encode()) for choice in item.choices],
                "truncated": score.truncated,
            }
        )
    return rows


def _generated(
    loaded: LoadedModel, benchmark: Gsm8k, items: list[Any], advance: Advance, slots: int, token_budget: int | None
) -> list[dict[str, Any]]:
    rows = []
    answers = generate(
        loaded.model, loaded.tokenizer, [item.prompt for item in items], benchmark.max_new_tokens, benchmark.stop,
        slots, advance,
    )  # fmt: skip
    likely = score_choices(loaded.model, loaded.tokenizer, [item.with_its_answer() for item in items], token_budget)
    for item, answer, solution in zip(items, answers, likely, strict=True):
        right = benchmark.grade(answer.text, item.gold)
        strict, flexible = extract_strict(answer.text), extract_flexible(answer.text)
        rows.append(
            {
                **_identity(item),
                "gold": normalize(item.gold),
                "prediction": normalize(strict),
                **{f"correct_{metric}": right[metric] for metric in benchmark.metrics},
                "text": answer.text,
                "extracted_strict-match": strict,
                "extracted_flexible-extract": flexible,
                "tokens": answer.tokens,
                "hit_limit": answer.hit_limit,
                "gold_log_likelihood": solution.log_likelihoods[0],
                "gold_bytes": len(item.gold.encode()),
                "truncated": answer.truncated,
            }
        )
    return rows


def _identity(item: Any) -> dict[str, str]:
    prompt = hashlib.sha256(item.prompt.encode()).hexdigest()[:16]
    return {"id": item.id, "subject": item.subject, "prompt_sha256": prompt}


def _share(items: pd.DataFrame, column: str) -> Score:
    return Score.of(int(items[column].to_numpy().sum()), len(items))

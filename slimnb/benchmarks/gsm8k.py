"""GSM8K (arXiv 2110.14168): grade-school mathematics, answered in words and graded by the final number.

lm-eval's task `gsm8k`. Two readings of an answer, always both: strict-match takes the number behind `####`;
flexible-extract takes the last number in the text. A right number in the wrong form is right only for the second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from slimnb.benchmarks.benchmark import Benchmark, OpenItem
from slimnb.data.rows import Gsm8kRow

STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
NOTHING = "[invalid]"
"""What an extraction gives where nothing matches, as in lm-eval."""


def extract_strict(text: str) -> str:
    """The first number behind `#### `."""
    match = STRICT.search(text)
    return match.group(1).strip() if match else NOTHING


def extract_flexible(text: str) -> str:
    """The last number anywhere."""
    matches = FLEXIBLE.findall(text)
    if not matches:
        return NOTHING
    return next(group for group in matches[-1] if group).strip()


def normalize(number: str) -> str:
    """Drop what two writings of one number differ in: commas, dollar signs, a final full stop, the work before."""
    number = number.replace(",", "").replace("$", "").rpartition("#### ")[2]
    return re.sub(r"\.$", "", number).lower()


@dataclass(frozen=True)
class Gsm8k(Benchmark):
    max_new_tokens: int = 256
    """lm-eval's default."""
    stop: tuple[str, ...] = ("Question:", "</s>", "<|im_end|>")
    """Text that ends an answer; the model's end-of-sequence token does so too."""

    metrics: ClassVar = ("strict-match", "flexible-extract")
    primary: ClassVar = "strict-match"

    def question(self, row: Gsm8kRow) -> str:
        return f"Question: {row.question}\nAnswer:"

    def answer(self, row: Gsm8kRow) -> str:
        return row.answer

    def item(self, row: Gsm8kRow, item_id: str, subject: str, prompt: str) -> OpenItem:
        return OpenItem(item_id, subject, prompt, row.answer)

    def grade(self, text: str, gold: str) -> dict[str, bool]:
        """metric -> right, for one generated text against the row's full answer."""
        wanted = normalize(gold)
        return {
            "strict-match": normalize(extract_strict(text)) == wanted,
            "flexible-extract": normalize(extract_flexible(text)) == wanted,
        }

"""Predicted memory of Llama models beside what others have published: what tests/perf/memory.py reports of it.

The shapes are the models' published configurations. Nothing is downloaded, and nothing is measured here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slimnb.planning.architecture import Architecture

GIB = 2**30
_LLAMA = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "tie_word_embeddings": False}
CONFIGS: dict[str, dict[str, Any]] = {
    "Llama-2-7B": {**_LLAMA, "vocab_size": 32000, "intermediate_size": 11008, "num_key_value_heads": 32},
    "Llama-3-8B": {**_LLAMA, "vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8},
    "LLaMA-65B": {
        "vocab_size": 32000, "hidden_size": 8192, "intermediate_size": 22016, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 64, "tie_word_embeddings": False,
    },
}  # fmt: skip

TUTORIAL = "torchtune, docs/source/tutorials/qlora_finetune.rst at commit 0e44fed: memory reserved in training"
README = "torchtune, README.md at commit 0031bfb, section on memory and training speed: RTX 4090 with 24 GB"
COMPILED = (
    "likely torch.compile, which fuses a layer's element-wise operations, so that less of the workspace is there at "
    "once; and adapters and their optimizer, which are bfloat16 there and float32 here"
)


@dataclass(frozen=True)
class Case:
    model: str
    method: Any
    rank: int
    rows: int
    length: int
    published_bytes: int
    """The most that the allocator held; for a card, all that it has."""
    is_card: bool
    source: str
    why: str
    """Where a difference comes from."""


CASES = (
    Case("Llama-2-7B", "lora", 8, 2, 512, 15_570_000_000, False, TUTORIAL,
         "rows of Alpaca, whose lengths the source does not tell, are taken as 512 tokens; what the allocator reserves "
         "is more than what is in use"),
    Case("Llama-2-7B", "qlora", 8, 2, 512, 9_290_000_000, False, TUTORIAL,
         "9.13 GB were reserved there before the first step, and only adapted layers are quantized, the source does "
         "not tell which; here every linear layer is, one at a time while it is loaded"),
    Case("Llama-3-8B", "lora", 8, 2, 2048, round(16.2 * GIB), False, README, COMPILED),
    Case("Llama-3-8B", "qlora", 8, 2, 2048, round(7.4 * GIB), False, README, COMPILED),
    Case("LLaMA-65B", "qlora", 64, 1, 512, 48 * GIB, True,
         "QLoRA (arXiv 2305.14314): a model of 65B trained on one card of 48 GB, rank 64 at every linear layer",
         "the source says that it fits, and has an optimizer that moves to the computer's memory where it does not"),
)  # fmt: skip
"""All with checkpointing, and without accumulation, as in the sources. Ranks of torchtune's are its recipes' 8."""


def architecture(family: str, sizes: dict[str, Any]) -> Architecture:
    """As slimnb reads it from a config.json of these sizes."""
    from slimnb.planning.architecture import of_fields

    return of_fields(family, {"model_type": family, **sizes})


def beside_published() -> list[dict[str, Any]]:
    """Every case with slimnb's prediction; `compared_bytes` leaves the CUDA context out where the source does."""
    from slimnb.planning.memory import Setup, predict

    found = []
    for case in CASES:
        setup = Setup(case.method, case.rank, case.rows, case.length, checkpointing=True, device="cuda")
        prediction = predict(architecture("llama", CONFIGS[case.model]), setup)
        context = sum(item.bytes for item in prediction.items if item.name == "overhead")
        found.append({
            **asdict(case), "predicted_bytes": prediction.peak,
            "compared_bytes": prediction.peak - (0 if case.is_card else context),
            "items": [asdict(item) for item in prediction.items],
        })  # fmt: skip
    return found


def published_page(cases: list[dict[str, Any]]) -> str:
    """The same for people, in Markdown."""
    lines = [
        "## Beside published measurements",
        "",
        "With checkpointing; in GiB. What an allocator held is compared without the CUDA context.",
        "",
        "| model | method | tokens | predicted | published | difference |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for case in cases:
        there = f"{case['published_bytes'] / GIB:.1f}" + (" (card)" if case["is_card"] else "")
        apart = "fits" if case["is_card"] else f"{case['compared_bytes'] / case['published_bytes'] - 1:+.0%}"
        if case["is_card"] and case["compared_bytes"] > case["published_bytes"]:
            apart = "does not fit"
        lines.append(
            f"| {case['model']} | {case['method']}, rank {case['rank']} | {case['rows']} x {case['length']} | "
            f"{case['compared_bytes'] / GIB:.1f} | {there} | {apart} |"
        )
    names = list(dict.fromkeys(item["name"] for case in cases for item in case["items"]))
    heads = [f"{case['model']} {case['method']}" for case in cases]
    lines += ["", "What is in them, GiB:", "", f"| item | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(cases)}"]
    for name in names:
        sizes = (sum(item["bytes"] for item in case["items"] if item["name"] == name) / GIB for case in cases)
        lines.append(f"| {name} | {' | '.join(f'{size:.2f}' for size in sizes)} |")
    lines.append("")
    for case in cases:
        lines.append(f"- {case['model']}, {case['method']}: {case['source']}. The difference: {case['why']}.")
    return "\n".join([*lines, ""])

"""Training files in Parquet: damaged bytes, columns of no text, and a few bytes that stand for gigabytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.corpus.training_files import PAIR, TALK, made, row


def table(name: str, make: Callable[[], pa.Table], error: str | None = None, right: Any = None, **options: Any) -> None:
    """A Parquet file of this table."""
    place_of = lambda path: pq.write_table(make(), path, **options)  # noqa: E731  what `made` takes
    made(
        f"parquet: {name}", "own.parquet", place_of, error, right if right is None or callable(right) else right.__eq__
    )


def damaged(name: str, change: Callable[[bytearray], Any], error: str = "cannot be read") -> None:
    """A Parquet file of 500 rows whose bytes are changed."""

    def make(path: Path) -> None:
        texts = [f"text {i * 7919}" for i in range(500)]
        pq.write_table(pa.table({"prompt": texts, "completion": texts}), path)
        content = bytearray(path.read_bytes())
        path.write_bytes(change(content) or content)

    made(f"parquet: {name}", "own.parquet", make, error)


def pairs(completion: Any, prompt: Any = None) -> Callable[[], pa.Table]:
    return lambda: pa.table(
        {"prompt": prompt if prompt is not None else ["Q"] * len(completion), "completion": completion}
    )


def turns(kind: pa.DataType, value: Any = None) -> Callable[[], pa.Table]:
    """Conversations whose turns hold a field more."""
    form = pa.struct({"role": pa.string(), "content": pa.string(), "more": kind})
    return lambda: pa.table({"messages": pa.array([[one | {"more": value} for one in TALK]], pa.list_(form))})


def same(text: str, times: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, np.int8)), [text])


def many_groups(path: Path) -> None:
    """Forty groups of one text of 6 MB, each packed to some hundred bytes."""
    one = pa.table({"prompt": ["Q"], "completion": ["A" * 6_000_000]})
    with pq.ParquetWriter(path, one.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(40):
            writer.write_table(one)


row("parquet: empty file", "own.parquet", b"", "cannot be read as Parquet")
row("parquet: its sign alone", "own.parquet", b"PAR1\xff\xff\xff\x7fPAR1", "cannot be read as Parquet")
row("parquet: a csv", "own.parquet", "prompt,completion\nQ,A\n", "cannot be read as Parquet")
damaged("cut", lambda content: content[: len(content) // 2])
damaged("its head gone", lambda content: content[100:])
damaged("zeros in the middle", lambda content: content.__setitem__(slice(20, 1500), bytes(1480)))
damaged(
    "zeros at its end",
    lambda content: content.__setitem__(
        slice(len(content) // 2, len(content) - 8), bytes(len(content) - 8 - len(content) // 2)
    ),
)
table("no rows", pairs(pa.array([], pa.string())), "has no rows")
table("no columns", lambda: pa.table({}), "has no rows")
table("numbers", pairs([1, 2]), "holds int64, where text is needed")
table("bytes", pairs([b"A"]), "holds binary, where text is needed")
table("a dictionary of numbers", pairs(pa.array([1, 1]).dictionary_encode()), "where text is needed")
table("dates", pairs(pa.array([0], pa.timestamp("ns"))), "where text is needed")
table("decimals", pairs(pa.array([1]).cast(pa.decimal128(30, 2))), "where text is needed")
table("nothing but null", pairs(pa.nulls(2)), "row 1: completion: null")
table("a null", pairs(["A", None]), "row 2: completion: null")
table("lists", pairs([["A"]]), "completion: Input should be a valid string")
table("objects", pairs([{"text": "A"}]), "completion: Input should be a valid string")
table("large texts", pairs(pa.array(["A"], pa.large_string())), right=PAIR)
table("a dictionary of texts", pairs(pa.array(["A", "A"]).dictionary_encode()), right=PAIR * 2)
table("a column twice", lambda: pa.table([["Q"], ["A"], ["B"]], names=["prompt", "completion", "completion"]),
      "called 'completion'")  # fmt: skip
table("10,500 columns", lambda: pa.table({f"c{i}": ["A"] for i in range(10_500)}), "10,000 columns")
table("a text that is not UTF-8", pairs(pa.array([b"\xff\xfe"]).cast(pa.binary()).view(pa.string())), "cannot be read")
table("an unread column of odd dates", lambda: pa.table({"prompt": ["Q"], "completion": ["A"], "when": pa.array(
      [2**62], pa.timestamp("ms", tz="Nowhere/Never"))}), right=PAIR)  # fmt: skip
table("turns with a field more", turns(pa.int64(), 1), right=[("Hi", "Ho")])
table("turns dated beyond all calendars", turns(pa.timestamp("ms"), 2**60), "cannot be read beyond row 0")
table("turns dated nowhere", turns(pa.timestamp("s", tz="Nowhere/Never"), 1), "cannot be read beyond row 0")
table("10,000,000 rows in a few bytes", lambda: pa.table({"prompt": same("Q", 10**7), "completion": same("A", 10**7)}),
      "unpacks to more than")  # fmt: skip
table("a text of 5 MB in 2,000 rows", lambda: pa.table({
      "prompt": same("Q", 2000), "completion": same("A" * 5_000_000, 2000)}), "unpacks to more than",
      dictionary_pagesize_limit=10**8, compression="zstd")  # fmt: skip
table("5,000,000 turns that are null", lambda: pa.table({"messages": pa.ListArray.from_arrays(
      pa.array([0, 5_000_000], pa.int32()), pa.nulls(5_000_000, pa.string()))}), "unpacks to more than")  # fmt: skip
table("30,000 rows that are the same", lambda: pa.table({
      "prompt": same("Q", 30_000), "completion": same("A", 30_000)}), right=PAIR * 30_000)  # fmt: skip
made("parquet: 240 MB in a few bytes", "own.parquet", many_groups, "unpacks to more than")

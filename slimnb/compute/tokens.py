"""Text -> token ids, at the boundary between what is given and what is predicted.

The tokens of `context + answer` are not the tokens of `context` followed by those of `answer`: both are encoded
together, and the boundary is set where the context alone would end (as lm-eval's `_encode_pair` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slimnb.errors import SlimnbError


@dataclass(frozen=True)
class Encoded:
    """Tokens of a context and what follows it."""

    ids: list[int]
    boundary: int
    """How many of them are the context's."""
    truncated: bool = False
    """Whether the context lost tokens on the left, because the model reads no more."""


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text as the tokenizer encodes by default: at most one beginning-of-sequence token."""
    ids = tokenizer(text, add_special_tokens=True)["input_ids"]
    bos = tokenizer.bos_token_id
    if bos is not None and ids[:2] == [bos, bos]:  # the text itself began with one
        ids = ids[1:]
    return ids


def encode_pair(tokenizer: Any, context: str, answer: str, most: int | None = None) -> Encoded:
    """Context and answer encoded together.

    Spaces at the context's end are moved to the answer, where tokenizers put them. A context without a token gets
    the beginning-of-sequence token (else the end-of-sequence one), since something must predict the first token.

    Args:
        most: tokens that the model can read; the last token of the answer is predicted and not read.
    """
    trailing = len(context) - len(context.rstrip())
    if trailing:
        context, answer = context[:-trailing], context[-trailing:] + answer
    whole = encode(tokenizer, context + answer)
    boundary = len(encode(tokenizer, context))
    if boundary == 0:
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        whole, boundary = [start, *whole], 1
    cut = max(0, len(whole) - (most + 1)) if most else 0
    return Encoded(whole[cut:], max(1, boundary - cut), cut > 0)


def context_length(model: Any) -> int | None:
    """Tokens that the model can read at once; None where it has no limit."""
    config = model.config.get_text_config(decoder=True)
    return getattr(config, "max_position_embeddings", None)


def as_chat(tokenizer: Any, text: str) -> str:
    """The text as a user's turn in the model's own chat form, up to where the assistant begins to answer.

    Raises:
        SlimnbError: the tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise SlimnbError("--chat-template: the model's tokenizer has no chat template")
    turn = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)

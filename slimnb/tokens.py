"""Text -> token ids, at the boundary between what is given and what is predicted.

The tokens of `context + answer` are not the tokens of `context` followed by those of `answer`: both are encoded
together, and the boundary is set where the context alone would end (as lm-eval's `_encode_pair` does).
"""

from __future__ import annotations

from typing import Any


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text as the tokenizer encodes by default: at most one beginning-of-sequence token."""
    ids = tokenizer(text, add_special_tokens=True)["input_ids"]
    bos = tokenizer.bos_token_id
    if bos is not None and ids[:2] == [bos, bos]:  # the text itself began with one
        ids = ids[1:]
    return ids


def encode_pair(tokenizer: Any, context: str, answer: str) -> tuple[list[int], int]:
    """Token ids of context and answer together, and how many of them belong to the context.

    Spaces at the context's end are moved to the answer, where tokenizers put them. A context without a token gets
    the beginning-of-sequence token (else the end-of-sequence one), since something must predict the first token.
    """
    trailing = len(context) - len(context.rstrip())
    if trailing:
        context, answer = context[:-trailing], context[-trailing:] + answer
    whole = encode(tokenizer, context + answer)
    boundary = len(encode(tokenizer, context))
    if boundary == 0:
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        return [start, *whole], 1
    return whole, boundary

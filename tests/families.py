"""Tiny random causal language models of several families, made from their configurations."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t

VOCABULARY = 259  # that of slimnb's byte tokenizer
_SMALL = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
          "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}  # fmt: skip

CONFIGS: dict[str, Any] = {
    "llama": lambda: t.LlamaConfig(**_SMALL),
    "qwen2": lambda: t.Qwen2Config(**_SMALL),
    "qwen3": lambda: t.Qwen3Config(**_SMALL, head_dim=8),
    "gemma": lambda: t.GemmaConfig(**_SMALL, head_dim=8),
    # Soft-capped logits: whatever comes behind the output head must still happen.
    "gemma2": lambda: t.Gemma2Config(**_SMALL, head_dim=8, sliding_window=16, final_logit_softcapping=5.0),
    "gemma3": lambda: t.Gemma3TextConfig(**_SMALL, head_dim=8, sliding_window=16),
    "gpt2": lambda: t.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=1024, bos_token_id=1, eos_token_id=2
    ),
    "pythia": lambda: t.GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
    ),
    # No attention at all, so no mask to follow.
    "mamba": lambda: t.MambaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        state_size=8,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    ),
}


def family(name: str) -> Any:
    """The model in float32 and evaluation mode, with weights large enough that its opinions differ."""
    torch.manual_seed(0)
    model = t.AutoModelForCausalLM.from_config(CONFIGS[name]())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model.eval()

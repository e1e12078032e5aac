"""How much is computed at once. Apart from the code that does it, so that memory is predicted without PyTorch."""

MOST_TOKENS = {"cpu": 768, "cuda": 16384}
"""Tokens in a batch of scoring beyond which a device's matrix products gain no speed."""
MOST_WORKERS = 4
"""Threads that score a batch each: every one holds its own activations."""
TOKEN_BUDGET = {"cpu": 1024, "cuda": 8192}
"""Tokens in a micro-batch of training, padding included; halved when memory runs out."""
CHUNK = 256
"""Predicted tokens whose logits exist at once: 25 MB in bfloat16 for a vocabulary of 50,000."""
MOST_SCORES = 1024 * 1024
"""Queries times keys beyond which attention on a CPU, too, is PyTorch's fused one, which keeps no scores."""

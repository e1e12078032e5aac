"""Known noise of the libraries beneath, kept from people: progress bars, and warnings that ask nothing of them."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

NOISY_LOGGERS = ("transformers", "huggingface_hub")
HARMLESS_WARNINGS = ("`is_gradient_checkpointing` is deprecated",)  # peft asks transformers by its old name

# bitsandbytes tells everyone, on import, of an optional kernel for 4-bit inference on CPU that is not installed.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: "gemm_4bit_forward" not in record.getMessage()
)


@contextlib.contextmanager
def known_noise_hidden() -> Iterator[None]:
    """Within the block, libraries' progress bars and the warnings listed here are not shown; errors still raise."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    loggers = [logging.getLogger(name) for name in NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        # Some progress bars and notes know no switch; they are written to standard error.
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            for message in HARMLESS_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

"""The Hub, asked first whether it answers. Imported within functions: huggingface_hub takes its time.

Left alone, the Hub's libraries ask a dead server again for half a minute, and wait for a silent one for minutes (data
sets) or for ever (models).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from huggingface_hub import HfApi, constants, get_session
from huggingface_hub.errors import (
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  httpx's or httpx2's, as the version has it
    RepositoryNotFoundError,
)

HUB_ERRORS = (OSError, HTTPError, ValueError)
"""All that a Hub which is down, unknown, or none at all can make of a call."""


def knock(timeout: float = 3.0) -> None:
    """Find out whether the Hub answers at all.

    Raises:
        HUB_ERRORS: it does not.
    """
    get_session().head(constants.ENDPOINT, timeout=timeout)


@contextmanager
def hub_or_cache(repository: str, kind: Literal["model", "dataset"]) -> Iterator[None]:
    """Within the block the libraries ask the Hub if it answers now, and only their own cache if it does not.

    How long it may take to answer is HF_HUB_ETAG_TIMEOUT, 10 seconds where that is not set.

    Raises:
        HUB_ERRORS: why the Hub does not answer, if the cache has not got what the block asks for either.
    """
    problem: Exception | None = None
    try:
        HfApi().repo_info(repository, repo_type=kind, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except RepositoryNotFoundError:
        pass  # the Hub answers; what it means, the library says
    except HUB_ERRORS as error:
        problem = error
    if problem is None:
        yield
        return
    # The libraries look at these switches on every call; at the environment only when they are imported.
    switches: list[Any] = [constants]
    if "datasets" in sys.modules:
        switches.append(sys.modules["datasets"].config)
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    for switch in switches:
        switch.HF_HUB_OFFLINE = True
    try:
        yield
    except Exception as missing:
        raise problem from missing
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = value

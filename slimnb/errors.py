"""The errors that a person is meant to read."""


class SlimnbError(Exception):
    """A mistake or a missing thing, told in words: what is wrong, where, and what to do.

    The command line prints the message and exits with status 1; only `--debug` shows a traceback.
    """


class OutOfMemory(SlimnbError):  # noqa: N818  the name is the status that the run ends with
    """A run did not fit in the memory of its device."""


OUT_OF_MEMORY_ADVICE = (
    "`slimnb plan` itemizes what is needed. Less is needed with --gradient-checkpointing, --method qlora, a lower "
    "--rank, or training rows cut by --max-length"
)

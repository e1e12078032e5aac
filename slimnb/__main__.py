"""`python -m slimnb` is the `slimnb` command."""

from slimnb.cli import main

main()

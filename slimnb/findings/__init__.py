"""A study's report: the paper's claims held against the runs. Imports no torch.

study.py       a study's directory -> fine-tunes, seeds together, each with its base
claims.py      the paper's claims -> cases and verdicts
prediction.py  predicted alignment against measured gains
results.py, predicted.py   the sections' tables
report.py      FINDINGS.md
"""

from slimnb.findings.report import report, write_report

__all__ = ["report", "write_report"]

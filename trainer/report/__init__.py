"""What a run looks like: one page that holds everything it shows."""

from ludus.trainer.report.page import write_report

__all__ = ["write_report"]

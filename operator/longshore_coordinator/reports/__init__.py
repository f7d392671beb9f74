"""Reports of a run in its folder, in the layout of Azure ML's logs.

Formatting is pure; the files are written through a store of the run folder. The only state is the lines of the current
hour's progress.
"""

from longshore_coordinator.reports.attempts import Attempts
from longshore_coordinator.reports.metrics import MetricsLog, metrics
from longshore_coordinator.reports.progress import Progress, ProgressOverview, progress_line
from longshore_coordinator.reports.records import Describe, Done, Outcome, Tried
from longshore_coordinator.reports.tables import failed_jsonl, node_summary, process_summary, processed_mini_batches
from longshore_coordinator.reports.texts import error_summary, error_text, readme_txt, result_text
from longshore_coordinator.reports.work import work_logs
from longshore_coordinator.reports.write import write_reports

__all__ = [
    "Attempts",
    "Describe",
    "Done",
    "MetricsLog",
    "Outcome",
    "Progress",
    "ProgressOverview",
    "Tried",
    "error_summary",
    "error_text",
    "failed_jsonl",
    "metrics",
    "node_summary",
    "process_summary",
    "processed_mini_batches",
    "progress_line",
    "readme_txt",
    "result_text",
    "work_logs",
    "write_reports",
]

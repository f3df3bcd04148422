"""Tables, figures and a page from a suite's run folders; imports neither torch nor Ray."""

from harness.report.build import Report, ReportPaths, build_report
from harness.report.terminal import render_terminal

__all__ = ["Report", "ReportPaths", "build_report", "render_terminal"]

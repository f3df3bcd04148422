"""The report as one self-contained page, and an index over the pages of all suites."""

from harness.report.page.build import page
from harness.report.page.index import SuiteEntry, entry_of, index_page
from harness.report.page.render import is_ours

__all__ = ["SuiteEntry", "entry_of", "index_page", "is_ours", "page"]

"""The sections of every report, in the order in which it shows them."""

from harness.report.section import Section
from harness.report.sections.actions import ActionSelections
from harness.report.sections.aggregates import Aggregates
from harness.report.sections.data import Data
from harness.report.sections.modes import Modes
from harness.report.sections.online import Online
from harness.report.sections.requested import Requested
from harness.report.sections.scores import LearningCurves, Scores

SECTIONS: tuple[type[Section], ...] = (
    Scores,
    LearningCurves,
    Aggregates,
    ActionSelections,
    Requested,
    Modes,
    Online,
    Data,
)

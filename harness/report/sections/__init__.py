"""The sections of a report, in the order in which it shows them."""

from harness.report.section import Section
from harness.report.sections.actions import ActionSelections
from harness.report.sections.aggregates import Aggregates
from harness.report.sections.cost import Cost
from harness.report.sections.data import Data
from harness.report.sections.mazes import Mazes
from harness.report.sections.modes import Modes
from harness.report.sections.online import Online
from harness.report.sections.overview import Overview
from harness.report.sections.published import Published
from harness.report.sections.ranking import Ranking
from harness.report.sections.requested import Requested
from harness.report.sections.scores import LearningCurves, Scores
from harness.report.sections.tuning import Tuning

SECTIONS: tuple[type[Section], ...] = (
    Scores,
    Published,
    Ranking,
    Overview,
    LearningCurves,
    Aggregates,
    Cost,
    Tuning,
    ActionSelections,
    Requested,
    Modes,
    Online,
    Mazes,
    Data,
)

# Of a suite of which nothing was run but, at most, what chooses its settings.
NOTHING_RUN: tuple[type[Section], ...] = (Published, Ranking, Tuning, Data)

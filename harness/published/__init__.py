"""Scores that others published: read, checked, and chosen among where sources disagree."""

from harness.published.literature import Literature, PublishedCell
from harness.published.names import method_id
from harness.published.scores import UNKNOWN, ProtocolName, PublishedScore, read_scores, shipped

__all__ = [
    "UNKNOWN",
    "Literature",
    "ProtocolName",
    "PublishedCell",
    "PublishedScore",
    "method_id",
    "read_scores",
    "shipped",
]

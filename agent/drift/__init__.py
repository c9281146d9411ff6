"""Is the input still what it was? Counts of recent windows against the reference's, one measure a file."""

from agent.drift.drift import Drift
from agent.drift.effect import Severity, severity

__all__ = ["Drift", "Severity", "severity"]

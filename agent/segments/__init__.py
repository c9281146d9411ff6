"""Is one part of the traffic no longer what it was, while the whole looks fine? Segment values against their own
reference counts."""

from agent.segments.judge import Segments, segment_tests

__all__ = ["Segments", "segment_tests"]

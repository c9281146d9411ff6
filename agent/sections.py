"""The sections that `sidelight reference build --label` makes of the rows and their truth: one line each.

How one is made and read: `agent/reference/labelled.py`.
"""

from __future__ import annotations

from agent.concept.section import Errors
from agent.estimate.calibrating import Calibrating
from agent.estimate.loss import Losing
from agent.fairness.section import FairnessSection
from agent.performance.section import Performing
from agent.reference.labelled import SectionMakers

SECTIONS: SectionMakers = (Performing, Errors, Calibrating, Losing, FairnessSection)

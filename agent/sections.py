"""The sections that `sidelight reference build --label` makes of the rows and their truth: one line each.

How one is made and read: `agent/reference/labelled.py`.
"""

from __future__ import annotations

from agent.reference.labelled import SectionMakers

SECTIONS: SectionMakers = ()

"""What the agent would see at this traffic: the smallest change of each feature that is found in four cases of five.

For people, before they need it. Nothing here decides an alarm.
"""

from agent.power.sight import Seen, Sight

__all__ = ["Seen", "Sight"]

"""Every option the agent has: environment variables, read once at start. `docs/configuration.md` is made from it.

A wrong value stops the start with exit code 2 and names the variable; after the start nothing here can fail.

    own.py, otel.py   the options, one field each, with what they may be
    thresholds.py     a fixed drift threshold
    option.py         what an option is: how one is read, refused and shown
    values.py         texts as numbers, switches, lists, secrets
    environment.py    both groups from the environment, and variables that no option has
    places.py         where socket and state lie
"""

from agent.config.environment import load, unknown
from agent.config.option import Option, options
from agent.config.otel import Otel
from agent.config.own import Settings
from agent.config.places import socket_path, state_path
from agent.config.thresholds import DISTANCES, Threshold
from agent.config.values import Secret

__all__ = [
    "DISTANCES", "Option", "Otel", "Secret", "Settings", "Threshold", "load", "options", "socket_path", "state_path",
    "unknown",
]  # fmt: skip

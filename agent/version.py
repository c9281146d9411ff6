"""The version of the agent."""

VERSION = "0.1.0"

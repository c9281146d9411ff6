"""The demo: a real model, half a year of its traffic, four faults, and the agent watching. `make demo` runs it."""

"""Faults that no change in the world explains: wrong types, missing or impossible values. One measure a file."""

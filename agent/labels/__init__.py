"""Predictions wait for their truth: a small row of each on disk, found again by its id, joined once."""

"""Tails of distributions and what series of blocks have to do with each other; tested against scipy."""

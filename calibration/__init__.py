"""Is the dial kept? Null worlds, known changes and the peers' rules, all through the product's own code."""

"""How good the predictions were, once the truth is known: per window, horizon, version and segment."""

"""Predictions as spans: which become one, why, and which show an alert."""

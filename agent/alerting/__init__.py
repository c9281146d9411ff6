"""Findings to alerts: pure, one alert per cause and series."""

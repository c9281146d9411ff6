"""Health, readiness, status and the local page: one small HTTP server, and what it shows."""

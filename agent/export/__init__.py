"""What leaves the agent: metrics, events and spans as OTLP, spooled until the backend took them."""

"""Did what the inputs mean change? An e-detector on the model's errors, window by window (docs/decisions/0128)."""

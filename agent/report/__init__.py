"""What the agent shows of its state: points for export, findings and status for people."""

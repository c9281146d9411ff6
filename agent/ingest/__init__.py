"""The door: bytes in, doubted once, journalled, answered. Inside it everything is trusted."""

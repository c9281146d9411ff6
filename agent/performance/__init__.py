"""How well and how fast the model answers. One measure a file."""

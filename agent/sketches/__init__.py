"""Small summaries of many values. The only code that touches `datasketches`; every stored blob carries a checksum."""

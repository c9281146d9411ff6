"""How old a version is, and whether all that was found together speaks for training it anew."""

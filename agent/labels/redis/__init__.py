"""Predictions wait in a Redis that several replicas share: whichever a label reaches joins it, once."""

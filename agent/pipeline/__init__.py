"""The one writer: counts accepted frames in order, closes windows, says what is found, and saves.

pipeline.py takes frames and accounts for them, joining.py brings labels to their predictions, closing.py ends windows,
outbox.py holds what leaves until it is saved, saving.py writes the checkpoint and reads it again.
"""

"""What a window counts: rows, cells, segments, texts, durations, and which rows are looked at closely."""

"""The feedback set: a sample of predictions and of their truth, in Parquet files, for training anew. Off by default."""

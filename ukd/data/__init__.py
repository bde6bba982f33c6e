"""Tasks, tokenised batches, metrics."""

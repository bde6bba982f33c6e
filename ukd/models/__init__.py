"""Pretrained encoders, the bundled one, and students of other architectures."""

"""Pretraining of the bundled encoder: `python -m data.encoder.make --help`."""

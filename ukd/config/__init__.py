"""Paths, device and precision, presets, cache keys, files."""

"""Paths, device and precision, presets, cache keys, files and provenance.

It imports nothing, so that the command line can read choices, presets and scenarios without torch.
"""

"""Paths, device and precision, presets, cache keys, files and provenance."""

from ukd.config.paths import cache_folder, data_folder, in_clone, runs_folder
from ukd.config.presets import PRESETS, TrainingConfig, preset
from ukd.config.runtime import Runtime, choose_runtime

__all__ = [
    "PRESETS",
    "Runtime",
    "TrainingConfig",
    "cache_folder",
    "choose_runtime",
    "data_folder",
    "in_clone",
    "preset",
    "runs_folder",
]

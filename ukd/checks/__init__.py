"""Instant checks of the notebooks' exercises: hand-computed values, and messages that name the likely mistake."""

from ukd.checks.heads import head_sizes, head_slope, label_distance, pseudo_classifier  # noqa: F401

"""Instant checks of the notebooks' exercises: hand-computed values, and messages that name the likely mistake."""

from ukd.checks.maps import row_entropy, seen_distance  # noqa: F401
from ukd.checks.projection import attention_weights, mixed_loss  # noqa: F401
from ukd.checks.statistics import judged, paired_difference  # noqa: F401

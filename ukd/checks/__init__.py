"""Instant checks of the notebooks' exercises: hand-computed values, and messages that name the likely mistake."""

from ukd.checks.projection import attention_weights, mixed_loss  # noqa: F401

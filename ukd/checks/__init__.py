"""Instant checks of the notebooks' exercises: hand-computed values, and messages that name the likely mistake."""

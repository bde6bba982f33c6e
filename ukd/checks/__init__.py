"""Instant checks of the notebooks' exercises: hand-computed values, and messages that name the likely mistake."""

from ukd.checks.assistants import annealed_target, layer_entropy
from ukd.checks.distillation import distillation_loss, stage_steps

__all__ = ["annealed_target", "distillation_loss", "layer_entropy", "stage_steps"]

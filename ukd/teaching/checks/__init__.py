"""Instant checks of the notebooks' exercises: values by hand, hints at likely mistakes."""

from ukd.teaching.checks.architectures import bilstm_parameters, masked_max
from ukd.teaching.checks.assistants import annealed_target, layer_entropy
from ukd.teaching.checks.deploy import exit_layer, reorder_classes
from ukd.teaching.checks.distillation import distillation_loss, stage_steps
from ukd.teaching.checks.heads import head_gradient, head_sizes, label_error, pseudo_classifier
from ukd.teaching.checks.maps import attended_label_error, row_entropy
from ukd.teaching.checks.projection import attention_weights, mixed_loss
from ukd.teaching.checks.statistics import paired_difference, verdict

__all__ = [
    "annealed_target",
    "attended_label_error",
    "attention_weights",
    "bilstm_parameters",
    "distillation_loss",
    "exit_layer",
    "head_gradient",
    "head_sizes",
    "label_error",
    "layer_entropy",
    "masked_max",
    "mixed_loss",
    "paired_difference",
    "pseudo_classifier",
    "reorder_classes",
    "row_entropy",
    "stage_steps",
    "verdict",
]

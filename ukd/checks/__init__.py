"""Instant checks of the notebooks' exercises: hand-computed values, and messages that name the likely mistake."""

from ukd.checks.architectures import bilstm_parameters, masked_max
from ukd.checks.assistants import annealed_target, layer_entropy
from ukd.checks.deploy import first_sure, reordered
from ukd.checks.distillation import distillation_loss, stage_steps
from ukd.checks.heads import head_sizes, head_slope, label_distance, pseudo_classifier
from ukd.checks.maps import row_entropy, seen_distance
from ukd.checks.projection import attention_weights, mixed_loss
from ukd.checks.statistics import judged, paired_difference

"""Instant checks of the notebooks' exercises: hand-computed values, and messages that name the likely mistake."""

from ukd.teaching.checks.architectures import bilstm_parameters, masked_max
from ukd.teaching.checks.assistants import annealed_target, layer_entropy
from ukd.teaching.checks.deploy import first_sure, reordered
from ukd.teaching.checks.distillation import distillation_loss, stage_steps
from ukd.teaching.checks.heads import head_sizes, head_slope, label_distance, pseudo_classifier
from ukd.teaching.checks.maps import row_entropy, seen_distance
from ukd.teaching.checks.projection import attention_weights, mixed_loss
from ukd.teaching.checks.statistics import judged, paired_difference

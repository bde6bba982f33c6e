"""Teacher, pseudo classifiers, distillation, grids of runs."""

from ukd.training import loop
from ukd.training.grid import ExperimentGrid, default_jobs, run_grid
from ukd.training.layer_report import attention, attention_summary, early_exit_curve
from ukd.training.loop import Schedule, fit
from ukd.training.predict import write_predictions
from ukd.training.run_record import RunRecord
from ukd.training.teacher import Teacher, train_teacher
from ukd.training.teacher_cache import cache_teacher, cached_logits, online_logits
from ukd.training.teacher_heads import (
    HiddenStateExtractor,
    fit_heads,
    fit_pseudo_classifiers,
    per_layer_scores,
)

# The function, which from here on stands before the module of that name.
predict = loop.predict

__all__ = [
    "ExperimentGrid",
    "HiddenStateExtractor",
    "RunRecord",
    "Schedule",
    "Teacher",
    "attention",
    "attention_summary",
    "cache_teacher",
    "cached_logits",
    "default_jobs",
    "early_exit_curve",
    "fit",
    "fit_heads",
    "fit_pseudo_classifiers",
    "online_logits",
    "per_layer_scores",
    "predict",
    "run_grid",
    "train_teacher",
    "write_predictions",
]

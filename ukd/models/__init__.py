"""Pretrained encoders, the bundled one, and students of other architectures."""

from ukd.models.bundled import default_learning_rates, resolve_encoder
from ukd.models.encoders import load_classifier, load_tokenizer, new_student, parameters
from ukd.models.students import STUDENTS

__all__ = [
    "STUDENTS",
    "default_learning_rates",
    "load_classifier",
    "load_tokenizer",
    "new_student",
    "parameters",
    "resolve_encoder",
]

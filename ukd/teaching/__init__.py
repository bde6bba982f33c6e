"""Diagrams, widgets and checks for the notebooks."""

from ukd.teaching import checks
from ukd.teaching.diagrams import (
    draw_descent,
    draw_method,
    draw_projection,
    logit_gradient,
    method_figure,
    projection_axes,
)
from ukd.teaching.sentence_widget import (
    draw_sentence,
    load_student,
    sentence,
    sentence_axes,
    sentence_predictor,
)
from ukd.teaching.widgets import (
    STUDENT,
    TEACHER,
    example_maps,
    layer_maps,
    playground,
)

__all__ = [
    "STUDENT",
    "TEACHER",
    "checks",
    "draw_descent",
    "draw_method",
    "draw_projection",
    "draw_sentence",
    "example_maps",
    "layer_maps",
    "load_student",
    "logit_gradient",
    "method_figure",
    "playground",
    "projection_axes",
    "sentence",
    "sentence_axes",
    "sentence_predictor",
]

"""Analysis: the store of runs, and the tables and figures that are derived from it."""

from ukd.analysis.contrasts import contrast_table, contrasts, seed_scores
from ukd.analysis.figures import (
    alt_text,
    draw_heads,
    draw_layer_map,
    heads_figure,
    scores_figure,
    style_of,
)
from ukd.analysis.grouping import at_chosen_rate, groups, methods_of, tasks_of
from ukd.analysis.map_figures import (
    attention_by_class,
    attention_by_difficulty,
    attention_over_time,
    layer_maps_figure,
)
from ukd.analysis.paper import paper_claims, paper_table
from ukd.analysis.resampling import examples_interval
from ukd.analysis.runs import Runs, as_runs, load_runs
from ukd.analysis.statistics import paired_difference
from ukd.analysis.study_figures import (
    attended_head_quality,
    attention_ablation,
    attention_entropy,
    contrasts_figure,
    early_exit,
    label_error_figure,
    relative_label_error,
    student_heads,
)
from ukd.analysis.tables import (
    compare_with_committed,
    difference_table,
    score_table,
    score_tables,
)
from ukd.analysis.training_figures import curves_figure, learning_rates_figure
from ukd.config.text import markdown_table

__all__ = [
    "Runs",
    "alt_text",
    "as_runs",
    "at_chosen_rate",
    "attended_head_quality",
    "attention_ablation",
    "attention_by_class",
    "attention_by_difficulty",
    "attention_entropy",
    "attention_over_time",
    "compare_with_committed",
    "contrast_table",
    "contrasts",
    "contrasts_figure",
    "curves_figure",
    "difference_table",
    "draw_heads",
    "draw_layer_map",
    "early_exit",
    "examples_interval",
    "groups",
    "heads_figure",
    "label_error_figure",
    "layer_maps_figure",
    "learning_rates_figure",
    "load_runs",
    "markdown_table",
    "methods_of",
    "paired_difference",
    "paper_claims",
    "paper_table",
    "relative_label_error",
    "score_table",
    "score_tables",
    "scores_figure",
    "seed_scores",
    "student_heads",
    "style_of",
    "tasks_of",
]

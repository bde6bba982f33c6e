"""Analysis: the store of runs, and the tables and figures that are derived from it."""

from ukd.analysis.by_student import loss_figure
from ukd.analysis.contrasts import contrast_table
from ukd.analysis.figures import (
    alt_text,
    draw_heads,
    draw_layer_map,
    heads_figure,
    scores_figure,
    style_of,
)
from ukd.analysis.grouping import at_chosen_rate, methods_of, tasks_of
from ukd.analysis.map_figures import attention_by_difficulty, attention_over_time
from ukd.analysis.paper import paper_claims, paper_table, verdict
from ukd.analysis.resampling import examples_interval
from ukd.analysis.runs import Runs, as_runs, load_runs
from ukd.analysis.statistics import Difference, paired_difference
from ukd.analysis.study_figures import attention_entropy, contrasts_figure, label_error_figure
from ukd.analysis.tables import difference_table, score_table, score_tables
from ukd.analysis.training_figures import curves_figure, learning_rates_figure
from ukd.analysis.verify import blocks, renewed
from ukd.config.text import markdown_table

__all__ = [
    "Difference",
    "Runs",
    "alt_text",
    "as_runs",
    "at_chosen_rate",
    "attention_by_difficulty",
    "attention_entropy",
    "attention_over_time",
    "blocks",
    "contrast_table",
    "contrasts_figure",
    "curves_figure",
    "difference_table",
    "draw_heads",
    "draw_layer_map",
    "examples_interval",
    "heads_figure",
    "label_error_figure",
    "learning_rates_figure",
    "load_runs",
    "loss_figure",
    "markdown_table",
    "methods_of",
    "paired_difference",
    "paper_claims",
    "paper_table",
    "renewed",
    "score_table",
    "score_tables",
    "scores_figure",
    "style_of",
    "tasks_of",
    "verdict",
]

"""Universal-KD: intermediate-layer knowledge distillation in the output space (Wu et al., 2021).

    task = ukd.load_task("sentiment")
    config = ukd.preset("smoke")
    teacher = ukd.train_teacher(task, config=config)
    ukd.fit_heads(teacher, task, config=config)
    run = ukd.distill(task, ukd.get_method("universal-kd"), teacher, config=config, seed=1)

The method is three files: `heads.py`, `projection.py`, `losses.py`. Names load when first used.
"""

from importlib import import_module

__version__ = "0.2.0"

# Where each public name lives, in the order of a distillation.
_PUBLIC = {
    "PseudoClassifiers": "ukd.heads",
    "ClassifierWithHeads": "ukd.heads",
    "attention_projection": "ukd.projection",
    "attend": "ukd.projection",
    "layer_map_weights": "ukd.projection",
    "label_loss": "ukd.losses",
    "kd_loss": "ukd.losses",
    "intermediate_loss": "ukd.losses",
    "METHODS": "ukd.methods.registry",
    "get_method": "ukd.methods.registry",
    "load_task": "ukd.data.tasks",
    "custom_task": "ukd.data.custom",
    "tokenized_splits": "ukd.data.batches",
    "load_classifier": "ukd.models.encoders",
    "new_student": "ukd.models.encoders",
    "TrainingConfig": "ukd.config.presets",
    "PRESETS": "ukd.config.presets",
    "preset": "ukd.config.presets",
    "choose_runtime": "ukd.config.runtime",
    "train_teacher": "ukd.training.teacher",
    "fit_heads": "ukd.training.teacher_heads",
    "keep_logits": "ukd.training.kept_logits",
    "load_kept_teacher": "ukd.training.kept_logits",
    "fit_pseudo_classifiers": "ukd.training.teacher_heads",
    "cache_teacher": "ukd.training.teacher_cache",
    "distill": "ukd.training.distill",
    "predict": "ukd.training.loop",
    "RunRecord": "ukd.training.run_record",
    "load_runs": "ukd.analysis.runs",
    "score_table": "ukd.analysis.tables",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _PUBLIC:
        known = ", ".join(_PUBLIC)
        raise AttributeError(f"module 'ukd' has no attribute {name!r}; it has: {known}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])

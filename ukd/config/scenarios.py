"""The paper's scenarios: which methods they compare, and with which students."""

from __future__ import annotations

DEFAULT_METHODS = ("no-kd", "kd", "kd-two-stage", "universal-kd")
SCENARIOS = {
    "first-look": (*DEFAULT_METHODS, "uniform", "final", "teacher-query"),
    "ild": (
        "no-kd",
        "kd",
        "kd-two-stage",
        "pkd-skip",
        "pkd-last",
        "alp-kd",
        "rail-kd",
        "ckd",
        "mhkd",
        "universal-kd",
        "pkd+universal-kd",
        "alp-kd+universal-kd",
        "rail-kd+universal-kd",
        "uniform",
        "reverse",
    ),
    "capacity-gap": (
        "no-kd",
        "kd",
        "kd-two-stage",
        "takd",
        "annealing-kd",
        "dih",
        "pseudo-ta",
        "universal-kd",
    ),
    "cross-architecture": DEFAULT_METHODS,
    "ablation": (
        "kd",
        "kd-two-stage",
        "universal-kd",
        "universal-kd-losses",
        "uniform",
        "reverse",
        "all-to-one",
        "random",
        "pkd-skip",
        "hidden-uniform",
        "hidden-reverse",
        "hidden-all-to-one",
        "hidden-random",
        "mhkd",
        "universal-kd:stages=one",
        "universal-kd:teacher_layers=all",
        "pkd-skip:stages=two",
        "universal-kd:detach_attention=no",
        "universal-kd:attention_temperature=0.1",
        "universal-kd:attention_temperature=10",
        "universal-kd:temperature=1",
        "universal-kd:temperature=8",
    ),
    "intermediate-term": (
        "no-kd",
        "kd",
        "kd-two-stage",
        "universal-kd",
        "universal-kd:intermediate_weight=0.1",
        "universal-kd:intermediate_weight=0.2",
        "universal-kd:intermediate_decay=yes",
        "universal-kd:student_layers=upper",
        "universal-kd:teacher_stage=0.33",
        "uniform",
        "final",
        "teacher-query",
        "universal-kd:layer_map=ukd.methods.layer_maps.cosine",
    ),
}
# What a scenario changes of the local presets; hub presets bring their own students. The first
# look has one task and one seed, so that it ends in minutes. A BiLSTM of four layers has three that
# attend, and room below its teacher.
SCENARIO_STUDENTS = {
    "first-look": (
        {
            "tasks": ("acceptability",),
            "seeds": (1,),
            "student": "bilstm",
            "student_depth": 4,
            "student_epochs": 12,
        },
    ),
    "capacity-gap": ({"student_depth": 2},),
    "cross-architecture": (
        {"student": "bilstm", "student_depth": 4, "student_epochs": 12},
        {"student": "gated-cnn", "student_depth": 4, "student_epochs": 12},
    ),
}

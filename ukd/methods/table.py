"""The table of methods: a name, a source, stages, and what the intermediate terms compare.

A new method is one entry here; the tests run it with every other.
"""

from __future__ import annotations

from ukd.methods.method import HiddenStateConfig, Method, Stage, one_stage, two_stages

_WU = "Wu et al. 2021"
_MERIT_1 = "Wu et al. 2021, merit (i)"
_PKD = HiddenStateConfig("skip")
_PKD_LAST = HiddenStateConfig("last")
_ALP = HiddenStateConfig("attention", normalise=False)
_RAIL = HiddenStateConfig("random", pooling="mean", width=128)
_CKD = HiddenStateConfig("groups", normalise=False)
_LABELS = (Stage("labels", 1.0, labels=1.0),)
_KD = (Stage("kd", 1.0, labels=0.5, kd=0.5),)
_KD_TWO_STAGE = two_stages(kd=0.5)
_UNIVERSAL_KD = two_stages(kd=0.5, intermediate=0.5)
_BOTH_SPACES = two_stages(kd=0.5, intermediate=0.5, hidden=0.5)
_HIDDEN = one_stage(labels=0.5, kd=0.5, hidden=0.5)

_BASELINES = (
    Method("no-kd", "labels only", "baseline", _LABELS),
    Method("kd", "labels and the teacher's last layer, half each", "Hinton et al. 2015", _KD),
    Method(
        "kd-two-stage",
        "universal-kd without its intermediate term: the stages alone",
        "control",
        _KD_TWO_STAGE,
    ),
)
_UNIVERSAL = (
    Method(
        "universal-kd",
        "attention over the teacher layers' outputs, then labels",
        _WU,
        _UNIVERSAL_KD,
    ),
    Method(
        "universal-kd-losses",
        "the same with the attention on losses, not on logits",
        "Wu et al. 2021 (ablation)",
        _UNIVERSAL_KD,
        attention_on="losses",
    ),
)
_HIDDEN_SPACE = (
    Method(
        "pkd-skip",
        "first-token states of evenly spaced teacher layers, of unit length",
        "Sun et al. 2019",
        _HIDDEN,
        hidden=_PKD,
    ),
    Method(
        "pkd-last",
        "first-token states of the teacher's last layers, of unit length",
        "Sun et al. 2019",
        _HIDDEN,
        hidden=_PKD_LAST,
    ),
    Method(
        "alp-kd",
        "first-token states, summed by attention",
        "Passban et al. 2021",
        one_stage(labels=0.1, kd=0.7, hidden=0.2),
        temperature=20.0,
        hidden=_ALP,
    ),
    Method(
        "rail-kd",
        "mean states of teacher layers drawn anew each epoch, projected",
        "Haidar et al. 2022",
        one_stage(labels=1 / 3, kd=1 / 3, hidden=1 / 3),
        temperature=10.0,
        hidden=_RAIL,
    ),
    Method(
        "ckd",
        "groups of teacher layers, concatenated and projected",
        "Wu et al. 2020",
        _HIDDEN,
        hidden=_CKD,
    ),
)
_OUTPUT_SPACE = (
    Method(
        "mhkd",
        "pseudo classifiers in fixed pairs",
        "Wang et al. 2021",
        one_stage(labels=0.5, kd=0.5, intermediate=0.5),
        layer_map="skip",
    ),
    Method(
        "dih",
        "the last layer learns from all teacher heads alike",
        "Asadian & Salehi-Abari 2021",
        one_stage(labels=0.5, intermediate=0.5),
        layer_map="uniform",
        attention_on="losses",
        student_layers="last",
    ),
    Method(
        "pseudo-ta",
        "the last layer attends over all teacher heads, then labels",
        "Wu et al. 2021 for the idea; form: our choice",
        two_stages(intermediate=1.0),
        student_layers="last",
    ),
)
_CAPACITY_GAP = (
    Method(
        "takd",
        "kd from an assistant of middle depth, which learned by kd from the teacher",
        "Mirzadeh et al. 2020",
        _KD,
        assistant=True,
    ),
    Method(
        "annealing-kd",
        "the teacher's logits, growing epoch by epoch, then labels",
        "Jafari et al. 2021",
        two_stages(annealed=1.0),
    ),
)
_COMBINED = (
    Method(
        "pkd+universal-kd",
        "both intermediate terms, then labels",
        _MERIT_1,
        _BOTH_SPACES,
        hidden=_PKD,
    ),
    Method(
        "alp-kd+universal-kd",
        "both intermediate terms, then labels",
        _MERIT_1,
        _BOTH_SPACES,
        hidden=_ALP,
    ),
    Method(
        "rail-kd+universal-kd",
        "both intermediate terms, then labels",
        _MERIT_1,
        _BOTH_SPACES,
        hidden=_RAIL,
    ),
)


def _output_control(name: str, summary: str, layer_map: str, **options: str) -> Method:
    return Method(name, summary, "control", _UNIVERSAL_KD, layer_map=layer_map, **options)


def _hidden_control(name: str, summary: str, layer_map: str) -> Method:
    return Method(name, summary, "control", _HIDDEN, hidden=HiddenStateConfig(layer_map))


_CONTROLS = (
    _output_control("uniform", "universal-kd with uniform weights", "uniform"),
    _output_control("reverse", "universal-kd with fixed pairs, read backwards", "reverse"),
    _output_control(
        "all-to-one", "universal-kd with the middle teacher layer for all", "all-to-one"
    ),
    _output_control("random", "universal-kd with teacher layers drawn anew each epoch", "random"),
    _output_control(
        "deepest",
        "every intermediate layer learns the deepest intermediate teacher head",
        "deepest",
    ),
    _output_control(
        "final",
        "every intermediate layer learns the teacher's own last layer",
        "deepest",
        teacher_layers="all",
    ),
    _hidden_control("hidden-uniform", "pkd with uniform weights", "uniform"),
    _hidden_control("hidden-reverse", "pkd-skip read backwards", "reverse"),
    _hidden_control("hidden-all-to-one", "pkd with the middle teacher layer for all", "all-to-one"),
    _hidden_control("hidden-random", "pkd with teacher layers drawn anew each epoch", "random"),
    _output_control(
        "teacher-query",
        "universal-kd with the teacher's deepest head as the query, not the student's",
        "teacher-query",
    ),
)
METHODS = {
    method.name: method
    for method in (
        *_BASELINES,
        *_UNIVERSAL,
        *_HIDDEN_SPACE,
        *_OUTPUT_SPACE,
        *_CAPACITY_GAP,
        *_COMBINED,
        *_CONTROLS,
    )
}

"""Records of format 1, as versions up to 0.1 wrote them, in the names of today."""

from __future__ import annotations

from collections.abc import Mapping

METHOD_NAMES = {
    "tau": "temperature",
    "mapping": "layer_map",
    "combine": "attention_on",
    "kappa": "attention_temperature",
    "students": "student_layers",
    "keys": "teacher_layers",
}
METHOD_DEFAULTS = {  # of options that the first records did not have yet
    "student_layers": "intermediate",
    "teacher_layers": "intermediate",
    "hidden": None,
    "assistant": False,
}
SETTING_NAMES = {
    "student_layers": "student_depth",
    "student_pick": "layer_selection",
    "student_start": "student_init",
    "rate": "learning_rate",
    "batch": "batch_size",
    "select": "selection_split",
}
SETTING_DEFAULTS = {"selection_split": "dev", "compiled": False}
DROPPED = ("teacher", "teacher_outputs", "searched", "method", "processes")
CACHED = {"kept": "cached", "live": "online"}
NEW_ENCODER_NAMES = {"embedded": "bundled"}


def convert(content: Mapping) -> dict:
    """The fields of a `RunRecord` from a record of format 1. Raises KeyError for one it lacks."""
    settings = content["settings"]
    metrics = tuple(content["scores"]["validation"])
    attention = content.get("attention")
    return {
        "hash": content["hash"],
        "task": content["task"],
        "method": content["method"],
        "seed": content["seed"],
        "settings": _settings(content, settings),
        "data": {"fingerprint": content["data"], "metrics": metrics, "class_names": None},
        "teacher": _teacher(content["teacher"]),
        "scores": content["scores"],
        "examples": content["examples"],
        "steps": content["steps"],
        "student_parameters": content["student_parameters"],
        "seconds": content["seconds"],
        "provenance": _provenance(content),
        "history": content["history"],
        "attention": _attention(attention) if attention else None,
        "early_exit": _early_exit(content.get("exits", ())),
        "collapsed": content.get("collapsed"),
        "calibration_error": content.get("calibration_error"),
        "predictions": content.get("predicted"),
        "assistant": content.get("assistant"),
        "search": _search(settings.get("searched")),
    }


def convert_method(method: Mapping) -> dict:
    """A method's fields in today's names; one that has them already is returned as it is.

    `attention_grad` said whether a gradient flows through the attention, and `detach_attention`
    says whether none does.
    """
    renamed = METHOD_DEFAULTS | _renamed(method, METHOD_NAMES)
    if "attention_grad" in renamed:
        renamed["detach_attention"] = not renamed.pop("attention_grad")
    for side in ("student_layers", "teacher_layers"):
        if renamed[side] == "below":
            renamed[side] = "intermediate"
    renamed["stages"] = [_renamed(stage, {"share": "epoch_fraction"}) for stage in method["stages"]]
    for stage in renamed["stages"]:
        stage.setdefault("hidden", 0.0)
        stage.setdefault("annealed", 0.0)
    if renamed["hidden"] is not None:
        hidden = _renamed(renamed["hidden"], METHOD_NAMES)
        if "detach_attention" not in hidden:
            hidden["detach_attention"] = not hidden.pop("attention_grad", True)
        renamed["hidden"] = hidden
    for name in ("name", "summary", "source"):
        renamed.pop(name, None)
    return renamed


def encoder_name(name: str) -> str:
    """An encoder's name today: "embedded-a2144435ee9b" was what "bundled-a2144435ee9b" is."""
    head, dash, tail = name.partition("-")
    return NEW_ENCODER_NAMES.get(head, head) + dash + tail


def _renamed(values: Mapping, names: Mapping[str, str]) -> dict:
    return {names.get(name, name): value for name, value in values.items()}


def _settings(content: Mapping, settings: Mapping) -> dict:
    kept = {name: value for name, value in settings.items() if name not in DROPPED}
    renamed = SETTING_DEFAULTS | _renamed(kept, SETTING_NAMES)
    taken = renamed["student_depth"] is not None
    renamed.setdefault("student_init", "pretrained" if taken else None)
    renamed.setdefault("layer_selection", "first" if taken else None)
    renamed["preset"] = content["profile"]
    renamed["method"] = convert_method(settings["method"])
    renamed["student"] = encoder_name(settings["student"])
    renamed["teacher_logits"] = CACHED[settings.get("teacher_outputs", "kept")]
    return renamed


def _teacher(teacher: Mapping) -> dict:
    kept = {name: value for name, value in teacher.items() if name != "by_layer"}
    renamed = _renamed(kept, {"rate": "learning_rate"})
    renamed["encoder"] = encoder_name(teacher["encoder"])
    renamed["heads"] = _heads(teacher["by_layer"])
    return renamed


def _heads(layers: list[Mapping]) -> list[dict]:
    return [_renamed(layer, {"distance": "label_error"}) for layer in layers]


def _early_exit(points: list[Mapping]) -> list[dict]:
    return [_renamed(point, {"sure": "threshold"}) for point in points]


def _attention(attention: Mapping) -> dict:
    names = {
        "seen_distance": "attended_label_error",
        "uniform_distance": "uniform_label_error",
        "by_layer": "heads",
        "exits": "early_exit",
    }
    renamed = _renamed(attention, names)
    renamed["heads"] = _heads(renamed.get("heads", ()))
    renamed["early_exit"] = _early_exit(renamed.get("early_exit", ()))
    return renamed


def _provenance(content: Mapping) -> dict:
    names = ("made", "device", "threads", "python", "versions", "commit")
    return {name: content[name] for name in names} | {"processes": content.get("processes", 1)}


def _search(search: Mapping | None) -> dict | None:
    """The learning rates by task and the seeds of a search; the first searches had one of each."""
    if search is None:
        return None
    if "task" in search:
        return {"rates": {search["task"]: search["rates"]}, "seeds": [search["seed"]]}
    return {"rates": search["rates"], "seeds": search["seeds"]}

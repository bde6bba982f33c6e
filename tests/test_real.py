"""Real GLUE end to end, where UKD_GLUE names a folder that holds it in the hub's layout."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

import ukd
from ukd.config.scenarios import DEFAULT_METHODS
from ukd.data.tasks import GLUE

FOLDER = os.environ.get("UKD_GLUE")
REASON = "UKD_GLUE names no folder with GLUE in the hub's layout"
pytestmark = [pytest.mark.real, pytest.mark.skipif(not FOLDER, reason=REASON)]


def test_a_real_task_end_to_end(tiny, tiny_encoder, runtime, tmp_path):
    task = ukd.load_task("rte", FOLDER)
    assert task.label_names == ("entailment", "not_entailment")
    assert len(task.dataset["train"]) == 2490
    encoder = str(tiny_encoder(tmp_path / "encoder"))
    config = replace(tiny, encoder=encoder, teacher_depth=3, max_train=64, max_validation=32)
    teacher = ukd.train_teacher(task, config=config, runtime=runtime)
    options = {"config": config, "seed": 1, "runtime": runtime, "folder": tmp_path / "runs"}
    for name in DEFAULT_METHODS:
        record = ukd.distill(task, ukd.get_method(name), teacher, **options)
        assert 0 <= record.scores["validation"]["accuracy"] <= 100
        assert FOLDER not in str(record.to_dict())


@pytest.mark.parametrize("name", ["cola", "sst2", "rte", "qnli", "mnli", "qqp"])
def test_real_tasks_load_with_their_columns(name):
    if not (Path(FOLDER) / name).is_dir():
        pytest.skip(f"{name} is not in UKD_GLUE")
    task = ukd.load_task(name, FOLDER)
    assert {*GLUE[name].columns, "label", "idx"} <= set(task.dataset["train"].column_names)
    assert task.num_labels == (3 if name == "mnli" else 2)

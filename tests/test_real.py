"""A real GLUE task end to end, where UKD_GLUE names a folder that holds GLUE in the hub's layout."""

import os
from dataclasses import replace

import pytest

import ukd
from data.encoder.make.pretrain import encoder_from_nothing
from ukd.data.tasks import GLUE
from ukd.methods.scenarios import DEFAULT_METHODS

FOLDER = os.environ.get("UKD_GLUE")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FOLDER, reason="UKD_GLUE names no folder with GLUE in the hub's layout"),
]


def test_a_real_task_end_to_end(tiny, runtime, tmp_path):
    task = ukd.load_task("rte", FOLDER)
    assert (
        task.label_names == ("entailment", "not_entailment") and len(task.dataset["train"]) == 2490
    )
    encoder = str(encoder_from_nothing(tiny, runtime))
    budget = replace(tiny, max_train=64, max_validation=32)
    teacher = ukd.train_teacher(task, config=budget, encoder=encoder, runtime=runtime)
    for name in DEFAULT_METHODS:
        options = {"profile": budget, "seed": 1, "compute": runtime, "folder": tmp_path}
        record = ukd.distill(task, ukd.get_method(name), teacher, **options)
        assert 0 <= record["scores"]["validation"]["accuracy"] <= 100
        assert FOLDER not in str({key: value for key, value in record.items() if key != "folder"})


@pytest.mark.parametrize("name", ["cola", "sst2", "rte", "qnli", "mnli", "qqp"])
def test_real_tasks_load_with_their_columns(name):
    if not os.path.isdir(os.path.join(FOLDER, name)):
        pytest.skip(f"{name} is not in UKD_GLUE")
    task = ukd.load_task(name, FOLDER)
    assert set(GLUE[name].columns) <= set(task.dataset["train"].column_names)
    assert task.num_labels == (3 if name == "mnli" else 2)

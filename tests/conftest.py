"""Shared fixtures: all runs in temporary folders, on a preset of seconds, without the hub."""

import os
from contextlib import contextmanager
from dataclasses import replace

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["UKD_QUIET"] = "1"

import pytest
import torch
from transformers import AutoConfig, AutoModel, set_seed

import ukd
from ukd.config.runtime import Runtime
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_tokenizer, save
from ukd.training import loop
from ukd.training.teacher import train_teacher
from ukd.training.teacher_heads import fit_heads

TINY = {"max_train": 96, "max_validation": 64, "batch_size": 16}


@pytest.fixture(scope="session", autouse=True)
def folders(tmp_path_factory):
    """Cache and runs of this test session, apart from the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("UKD_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("UKD_RUNS", str(tmp_path_factory.mktemp("runs")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def runtime():
    """float32 on whatever device there is, so that equalities hold closely."""
    return ukd.choose_runtime("float32")


@pytest.fixture(scope="session")
def cpu():
    """float32 on the CPU."""
    return Runtime("cpu", "float32", 1, "tests")


@pytest.fixture(scope="session")
def tiny():
    """A budget of seconds: the smoke preset on 96 examples."""
    return ukd.preset("smoke", **TINY)


@pytest.fixture(scope="session")
def task():
    """The synthetic sentiment task."""
    return ukd.load_task("sentiment")


@pytest.fixture(scope="session")
def teacher(task, tiny, runtime):
    """A tiny teacher with its pseudo classifiers, made once for all tests."""
    made = train_teacher(task, config=tiny, runtime=runtime)
    fit_heads(made, task, config=tiny, runtime=runtime)
    return made


@pytest.fixture(scope="session")
def distilled(task, tiny, teacher, runtime):
    """A function from a method (or its name) to a tiny run of it, made once for all tests.

    `changes` are fields of the config.
    """

    def run(method, *, seed=1, **changes):
        method = ukd.get_method(method) if isinstance(method, str) else method
        config = replace(tiny, **changes)
        return ukd.distill(task, method, teacher, config=config, seed=seed, runtime=runtime)

    return run


@pytest.fixture(scope="session")
def tiny_encoder():
    """A function that saves a narrow, randomly initialised BERT, with the bundled tokenizer."""

    def make(folder, *, layers=3, width=16, seed=0):
        set_seed(seed)
        config = AutoConfig.from_pretrained(bundled_encoder())
        sizes = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 2 * width}
        config.update(sizes | {"num_attention_heads": 2})
        network = AutoModel.from_config(config, dtype=torch.float32)
        save(network, load_tokenizer(bundled_encoder()), folder)
        return folder

    return make


@pytest.fixture
def killed():
    """`with killed(n):` ends what trains inside at the end of epoch n, before that is saved."""

    @contextmanager
    def until(number):
        finish = loop.Checkpointer.finish_epoch
        calls = []

        def die(self, *args):
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return finish(self, *args)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(loop.Checkpointer, "finish_epoch", die)
            yield

    return until

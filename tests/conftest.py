"""Shared fixtures: everything runs in temporary folders, on a profile that is tiny, and without the hub."""

import os
from contextlib import contextmanager

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["UKD_QUIET"] = "1"

import pytest

import ukd
from ukd.config.runtime import Runtime
from ukd.training import loop as train
from ukd.training.teacher import train_teacher
from ukd.training.teacher_heads import fit_heads

TINY = {"width": 16, "pretrain_steps": 6, "max_train": 96, "max_validation": 64, "batch": 16}


@pytest.fixture(scope="session", autouse=True)
def folders(tmp_path_factory):
    """Cache and runs of this test session, apart from the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("UKD_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("UKD_RUNS", str(tmp_path_factory.mktemp("runs")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def choose_runtime():
    """float32 on whatever device there is, so that equalities hold closely."""
    return ukd.choose_runtime("float32")


@pytest.fixture(scope="session")
def cpu():
    """float32 on the CPU."""
    return Runtime("cpu", "float32", 1, "tests")


@pytest.fixture(scope="session")
def tiny():
    """A profile of seconds."""
    return ukd.preset("smoke", **TINY)


@pytest.fixture(scope="session")
def task():
    """The embedded sentiment task."""
    return ukd.load_task("sentiment")


@pytest.fixture(scope="session")
def teacher(task, tiny, runtime):
    """A tiny teacher with its pseudo classifiers, made once for all tests."""
    made = train_teacher(task, config=tiny, runtime=runtime)
    fit_heads(made, task, config=tiny, runtime=runtime)
    return made


@pytest.fixture
def killed():
    """`with killed(n):` ends what trains inside at the end of its n-th epoch, before that epoch is saved."""

    @contextmanager
    def until(number):
        finish, calls = train.Checkpointer.finish_epoch, []

        def die(self, *args):
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return finish(self, *args)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(train.Checkpointer, "finish_epoch", die)
            yield

    return until

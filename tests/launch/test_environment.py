import os
import subprocess
import sys

import pytest

from diptych.errors import UserError
from diptych.launch.environment import CACHE, HUGE_PAGES, IN_ORDER, settings


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in ("GLIBC_TUNABLES", "XLA_FLAGS", "JAX_NUM_CPU_DEVICES", "JAX_NUM_PROCESSES", "JAX_PLATFORMS", CACHE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))


def test_one_device_gets_huge_pages_alone():
    assert settings() == {"GLIBC_TUNABLES": HUGE_PAGES}


def test_what_the_user_has_set_is_kept(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    assert settings() == {}


@pytest.mark.parametrize(
    "variables",
    [
        {"JAX_NUM_CPU_DEVICES": "4"},
        {"JAX_NUM_PROCESSES": "4", "JAX_PLATFORMS": "cpu"},
        {"SLURM_STEP_NUM_TASKS": "2", "JAX_PLATFORMS": "cpu"},
        {"XLA_FLAGS": "--xla_force_host_platform_device_count=4 --xla_dump_to=x"},
    ],
)
def test_several_cpu_devices_get_no_compile_cache_and_one_order(monkeypatch, variables):
    for name, value in {"XLA_FLAGS": "--xla_dump_to=x", **variables}.items():
        monkeypatch.setenv(name, value)
    flags = f"{os.environ['XLA_FLAGS']} {IN_ORDER}"
    assert settings() == {"GLIBC_TUNABLES": HUGE_PAGES, CACHE: "false", "XLA_FLAGS": flags}


def test_an_order_that_the_user_has_chosen_is_kept(monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "8")
    monkeypatch.setenv("XLA_FLAGS", IN_ORDER.replace("false", "true"))
    assert "XLA_FLAGS" not in settings()


def test_processes_with_an_accelerator_each_keep_their_compile_cache(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "4")
    assert settings() == {"GLIBC_TUNABLES": HUGE_PAGES}


@pytest.mark.parametrize("text", ["abc", "", "0", "-1", "2.5"])
def test_a_count_that_is_none_is_named(monkeypatch, text):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", text)
    with pytest.raises(UserError, match=r"JAX_NUM_CPU_DEVICES in the environment = '.*' is out of range; accepted is an integer from 1 on"):
        settings()


def test_the_program_says_so_in_one_sentence(tmp_path):
    env = os.environ | {"JAX_NUM_CPU_DEVICES": "abc"}
    command = [sys.executable, "-m", "diptych.launch.cli", "train", "--config=clip_emoji", f"--workdir={tmp_path}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("diptych: JAX_NUM_CPU_DEVICES") and len(done.stderr.splitlines()) == 1


def test_after_the_restart_there_is_nothing_to_set(monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "8")
    for name, value in settings().items():
        monkeypatch.setenv(name, value)
    assert settings() == {}

import pytest

from diptych.launch.environment import HUGE_PAGES, SCHEDULER, settings


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in ("GLIBC_TUNABLES", "XLA_FLAGS", "JAX_NUM_CPU_DEVICES", "JAX_NUM_PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))


def test_one_device_gets_huge_pages_alone():
    assert settings() == {"GLIBC_TUNABLES": HUGE_PAGES}


def test_what_the_user_has_set_is_kept(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    assert settings() == {}


@pytest.mark.parametrize("name", ["JAX_NUM_CPU_DEVICES", "JAX_NUM_PROCESSES"])
def test_several_devices_get_one_order_of_collectives(monkeypatch, name):
    monkeypatch.setenv(name, "4")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    assert settings()["XLA_FLAGS"] == f"--xla_dump_to=x --{SCHEDULER}=false"


def test_after_the_restart_there_is_nothing_to_set(monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "8")
    for name, value in settings().items():
        monkeypatch.setenv(name, value)
    assert settings() == {}

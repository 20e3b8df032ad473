"""What XLA on CPUs needs of a process's environment. All of it is read when a process starts, and never again.

Huge pages: a step allocates and frees hundreds of megabytes; with glibc's defaults each of their 4 KiB pages faults anew. Measured on two
cores with `clip_emoji`: 1.18 s a step with the defaults, 0.82 s with huge pages.

One order of collectives: with several CPU devices, XLA's concurrent scheduler (jaxlib 0.10.2) starts independent collectives in another
order on each device; about one run of 20 steps in six then waits for ever and is aborted after 40 s. Without it: none in 6,000 steps.

No compile cache: a program of several CPU devices that comes out of jax's cache has lost the order of its collectives again, as each of
them is read back with a resource of its own; about a third of such runs crash.
"""

from __future__ import annotations

import os
import platform
import re
import sys

from ..pretrain.interrupts import hold_signals
from .distributed import launched_processes, whole_number

HUGE_PAGES = "glibc.malloc.hugetlb=1"
SCHEDULER = "xla_cpu_enable_concurrency_optimized_scheduler"
CACHE = "JAX_ENABLE_COMPILATION_CACHE"
FORCED_DEVICES = re.compile(r"--xla_force_host_platform_device_count=(\d+)")


def settings() -> dict[str, str]:
    """The variables to set; empty where there is nothing to do or the user has decided. UserError where one cannot be read."""
    found = {}
    if platform.libc_ver()[0] == "glibc" and "GLIBC_TUNABLES" not in os.environ:
        found["GLIBC_TUNABLES"] = HUGE_PAGES
    if cpu_devices() > 1:
        flags = os.environ.get("XLA_FLAGS", "")
        if SCHEDULER not in flags:
            found["XLA_FLAGS"] = f"{flags} --{SCHEDULER}=false".strip()
        if CACHE not in os.environ:
            found[CACHE] = "false"
    return found


def cpu_devices() -> int:
    """How many CPU devices the job has, as far as the environment says; processes count where they are told to run on CPUs."""
    forced = [int(count) for count in FORCED_DEVICES.findall(os.environ.get("XLA_FLAGS", ""))]
    devices = max(whole_number("JAX_NUM_CPU_DEVICES", least=1, default=1), *forced[-1:], 1)
    processes = max(whole_number("JAX_NUM_PROCESSES", least=1, default=1), launched_processes())
    return devices * processes if devices > 1 or os.environ.get("JAX_PLATFORMS", "").startswith("cpu") else devices


def restart_with_settings() -> None:
    """Replaces this process by itself with the settings in force; returns where there are none to make."""
    if found := settings():
        hold_signals()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | found)

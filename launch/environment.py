"""What XLA on CPUs needs of a process's environment. All of it is read when a process starts, and never again.

Huge pages: a step allocates and frees hundreds of megabytes; with glibc's defaults each of their 4 KiB pages faults anew. Measured on two
cores with `clip_emoji`: 1.18 s a step with the defaults, 0.82 s with huge pages.

No compile cache with several CPU devices: a program that comes out of jax's cache (jaxlib 0.10.2) has lost the order of its collectives, as
each of them is read back with a resource of its own. Devices then start them in different orders: about a third of such runs crash or wait
for ever. Compiled anew: none in 27 runs and 4,000 steps.

Nor the schedule for concurrency: with it, a loop whose body has collectives need not have ended before independent collectives after it
begin. Devices then take them in different orders, and as all are of channel 1 they get each other's data. Measured with two towers of one
shape: 1 step in about 30 had wrong gradients or waited for ever; with the schedule for least memory none of 1,400.
"""

from __future__ import annotations

import os
import platform
import re
import sys

from ..pretrain.interrupts import hold_signals
from .distributed import launched_processes, whole_number

HUGE_PAGES = "glibc.malloc.hugetlb=1"
CACHE = "JAX_ENABLE_COMPILATION_CACHE"
XLA = "XLA_FLAGS"
IN_ORDER = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
FORCED_DEVICES = re.compile(r"--xla_force_host_platform_device_count=(\d+)")


def settings() -> dict[str, str]:
    """The variables to set; empty where there is nothing to do or the user has decided. UserError where one cannot be read."""
    found = {}
    if platform.libc_ver()[0] == "glibc" and "GLIBC_TUNABLES" not in os.environ:
        found["GLIBC_TUNABLES"] = HUGE_PAGES
    if cpu_devices() > 1:
        flags = os.environ.get(XLA, "")
        if CACHE not in os.environ:
            found[CACHE] = "false"
        if IN_ORDER.partition("=")[0] not in flags:
            found[XLA] = f"{flags} {IN_ORDER}".strip()
    return found


def cpu_devices() -> int:
    """How many CPU devices the job has, as far as the environment says; processes count where they are told to run on CPUs."""
    forced = [int(count) for count in FORCED_DEVICES.findall(os.environ.get(XLA, ""))]
    devices = max(whole_number("JAX_NUM_CPU_DEVICES", least=1, default=1), *forced[-1:], 1)
    processes = max(whole_number("JAX_NUM_PROCESSES", least=1, default=1), launched_processes())
    return devices * processes if devices > 1 or os.environ.get("JAX_PLATFORMS", "").startswith("cpu") else devices


def restart_with_settings() -> None:
    """Replaces this process by itself with the settings in force; returns where there are none to make."""
    if found := settings():
        hold_signals()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | found)

"""Joining the other processes of a job: identity comes from the environment, the command is the same on every host."""

from __future__ import annotations

import logging
import os
import sys

from ..errors import UserError


def whole_number(name: str, *, least: int, default: int | None = None) -> int:
    """A variable of the environment; UserError where it is absent (and has no default) or no integer from `least` on."""
    text = os.environ.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.strip().isdecimal() or int(text) < least:
        shown = "is not set" if text is None else f"= {text!r} is out of range"
        raise UserError(f"{name} in the environment {shown}; accepted is an integer from {least} on")
    return int(text)


def initialize() -> None:
    """Calls `jax.distributed.initialize` where the environment says that there are other processes, before any device is touched.

    Either JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID are set, or SLURM, Open MPI or a TPU VM is recognised. On the hosts
    of a TPU slice nothing but their metadata says how many they are, so it is always called there. Processes other than the first log
    warnings alone.
    """
    import jax

    if address := os.environ.get("JAX_COORDINATOR_ADDRESS"):
        count, index = whole_number("JAX_NUM_PROCESSES", least=1), whole_number("JAX_PROCESS_ID", least=0)
        if index >= count:
            raise UserError(
                f"JAX_PROCESS_ID = {index} in the environment is out of range; accepted is 0 to {count - 1} (JAX_NUM_PROCESSES)"
            )
        jax.distributed.initialize(address, num_processes=count, process_id=index)
    elif launched_processes() > 1 or on_tpu_vm():
        jax.distributed.initialize()
    if not is_first():
        logging.getLogger("diptych").setLevel(logging.WARNING)


def launched_processes() -> int:
    """How many processes SLURM or Open MPI started; 1 without them."""
    return max(whole_number(name, least=1, default=1) for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"))


def on_tpu_vm() -> bool:
    """Whether jax can learn of the other hosts of a TPU slice: from the metadata of a TPU VM or what GKE sets."""
    from jax._src.clusters import GceTpuCluster, GkeTpuCluster  # what jax.distributed.initialize goes by; it has no public name

    platforms = os.environ.get("JAX_PLATFORMS", "")
    return (not platforms or "tpu" in platforms) and any(cluster.is_env_present() for cluster in (GceTpuCluster, GkeTpuCluster))


def is_first() -> bool:
    """Whether this process speaks for its job; touches no device where it is alone."""
    jax = sys.modules.get("jax")
    return jax is None or not jax.distributed.is_initialized() or jax.process_index() == 0

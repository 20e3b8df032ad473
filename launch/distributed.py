"""Joining the other processes of a job: identity comes from the environment, the command is the same on every host."""

from __future__ import annotations

import os


def initialize() -> None:
    """Calls `jax.distributed.initialize` where the environment says that there are other processes, before any device is touched.

    Either JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID are set, or SLURM, Open MPI or a TPU pod is recognised by jax.
    """
    import jax

    if address := os.environ.get("JAX_COORDINATOR_ADDRESS"):
        count, index = int(os.environ["JAX_NUM_PROCESSES"]), int(os.environ["JAX_PROCESS_ID"])
        jax.distributed.initialize(address, num_processes=count, process_id=index)
    elif (
        int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
        or int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1")) > 1
        or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    ):
        jax.distributed.initialize()

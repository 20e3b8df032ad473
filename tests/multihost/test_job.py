"""What two real processes tell each other on the host; no program is compiled."""

import os
import socket
import subprocess
import sys

SCRIPT = """
import sys
import jax
import numpy as np
from diptych.errors import UserError
from diptych.launch.distributed import initialize, is_first
from diptych.pretrain.check_hosts import check_hosts
from diptych.pretrain.feed import counted_slots, local_slots
from diptych.pretrain.job import Job, store
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import AXES, MeshSpec

def refuse():
    raise UserError("no")

initialize()
job, index = Job(), jax.process_index()
said = [job.agree(lambda: f"from {index}"), job.agree(lambda: {"x": float("nan")} if index == 0 else None)["x"] > 0]
try:
    job.agree(refuse)
except UserError as error:
    said.append(str(error))
said += [job.gather({"from": index}), job.gather(index), job.gather(0), job.agree(lambda: "waited")]
held = lambda: job.agree(lambda: len(store().key_value_dir_get("diptych/")))
before = held()
for _ in range(20):
    said[-1] = job.agree(lambda: "waited")
    job.gather(1)
job.gather(0)
said.append(0 < held() <= before)
try:
    make_mesh(MeshSpec(replica=1, fsdp=2, tensor=1))
except UserError as error:
    said.append(str(error))
try:
    check_hosts(job, {"pillow": "12", "ftfy": "6"})
    check_hosts(job, {"pillow": f"1{index}"})
except UserError as error:
    said.append(str(error))
slots = local_slots(make_mesh(MeshSpec(replica=2, fsdp=2, tensor=1)), 8).tolist()
across = jax.sharding.Mesh(np.array(jax.devices())[[0, 2, 1, 3]].reshape(1, 2, 2), AXES)
slots = [slots, local_slots(across, 8).tolist(), counted_slots(across, 8).tolist()]
print(said, slots, is_first(), sep="|", flush=True)
"""


def test_two_processes_agree():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    common = {"JAX_NUM_CPU_DEVICES": "2", "JAX_COORDINATOR_ADDRESS": f"localhost:{port}", "JAX_NUM_PROCESSES": "2"}
    common["JAX_CPU_COLLECTIVES_IMPLEMENTATION"] = "gloo"
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | common | {"JAX_PROCESS_ID": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    results = [job.communicate(timeout=60) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], results
    too_small = "mesh.replica x mesh.fsdp x mesh.tensor = 2, and the 2 processes have 4 devices; accepted is a mesh of all 4"
    unlike = "pillow is 10 in process 0 and 11 in process 1, so that the same sample would differ between hosts; accepted is one version "
    unlike += "on all of them"
    said = str(["from 0", False, "no", [{"from": 0}, {"from": 1}], [1], [], "waited", True, too_small, unlike])
    all_slots = list(range(8))  # tensor lies over both hosts
    assert results[0][0].splitlines() == [f"{said}|{[[0, 1, 2, 3], all_slots, all_slots]}|True"]
    assert results[1][0].splitlines() == [f"{said}|{[[4, 5, 6, 7], all_slots, []]}|False"]

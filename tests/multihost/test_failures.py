"""What fails in one of two processes ends both, with one sentence and one exit code, though the other one waits for it in a step."""

import io
import os
import socket
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

BROKEN_READ = """
import sys
import diptych.data.pipeline as pipeline
from diptych.launch.cli import main

class Broken(pipeline.TrainStream):
    def __next__(self):
        if self._position >= 96 and 31 in self._slots:
            raise OSError("the disk is gone")
        return super().__next__()

import diptych.pretrain.run as run
run.TrainStream = Broken
sys.exit(main(sys.argv[1:]))
"""
TOO_MANY = "diptych: data has too many bad samples: 100 in a row cannot be used at position "


def train(tiny_config, workdir, *more, program=("-m", "diptych.launch.cli")):
    """Exit codes and stderr of two processes."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    common = {"JAX_NUM_CPU_DEVICES": "1", "JAX_COORDINATOR_ADDRESS": f"localhost:{port}", "JAX_NUM_PROCESSES": "2"}
    common["JAX_CPU_COLLECTIVES_IMPLEMENTATION"] = "gloo"
    command = [sys.executable, *program, "train", "--config", tiny_config, "--workdir", str(workdir), "--config.mesh.fsdp=2", *more]
    jobs = [
        subprocess.Popen(
            command, env=os.environ | common | {"JAX_PROCESS_ID": str(index)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for index in range(2)
    ]
    try:
        said = [job.communicate(timeout=150)[1] for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    return [job.returncode for job in jobs], said


@pytest.fixture(scope="module")
def half_bad(tmp_path_factory):
    """Two shards of 1,000 samples, all of one bad."""
    folder, image = tmp_path_factory.mktemp("half"), io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(image, "png")
    for number, content in enumerate((b"broken", image.getvalue())):
        with tarfile.open(folder / f"{number}.tar", "w") as shard:
            for name, data in (
                (f"{place:04d}.{suffix}", data) for place in range(1000) for suffix, data in (("png", content), ("txt", b"a"))
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                shard.addfile(info, io.BytesIO(data))
    return folder


def test_bad_samples_of_one_process(tiny_config, tmp_path, half_bad):
    """Of eight streams, four a process, three of the first process, which is the coordinator's, lie in the bad shard with this seed."""
    blocks = ["--config.data.order=block", "--config.data.streams=8", "--config.data.block_shards=1", "--config.seed=2"]
    codes, said = train(tiny_config, tmp_path, f"--config.data.train={half_bad}/*.tar", *blocks)
    assert codes == [2, 2], said
    sentences = [[line for line in text.splitlines() if line.startswith("diptych: ")] for text in said]
    assert sentences[0] == sentences[1] and len(sentences[0]) == 1 and sentences[0][0].startswith(TOO_MANY)
    assert not any(word in text for text in said for word in ("Traceback", "Check failure", "distributed service"))


def test_a_read_error_of_one_process(tiny_config, tmp_path):
    codes, said = train(tiny_config, tmp_path, program=("-c", BROKEN_READ))
    assert codes == [1, 1], said
    assert all("diptych: process 1 failed with OSError: the disk is gone" in text for text in said)
    assert "Traceback" in said[1] and not any(word in said[0] for word in ("Traceback", "Check failure", "distributed service"))

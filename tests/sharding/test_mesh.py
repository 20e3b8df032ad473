import pytest

from diptych.errors import UserError
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


def test_one_process_may_leave_devices_out():
    assert make_mesh(MeshSpec(replica=1, fsdp=2, tensor=1)).size == 2


def test_several_processes_leave_no_device_out(monkeypatch):
    monkeypatch.setattr("jax.process_count", lambda: 2)
    assert make_mesh(MeshSpec(replica=2, fsdp=4, tensor=1)).size == 8
    with pytest.raises(
        UserError, match=r"mesh\.replica x mesh\.fsdp x mesh\.tensor = 4, and the 2 processes have 8 devices; accepted is .* all 8"
    ):
        make_mesh(MeshSpec(replica=1, fsdp=4, tensor=1))

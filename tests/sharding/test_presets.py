import pytest

from diptych.errors import UserError
from diptych.pretrain.check_devices import check_devices, on_devices
from diptych.pretrain.recipe import load_recipe
from diptych.sharding.hardware import HARDWARE
from diptych.sharding.presets import PRESETS, filled_mesh, filled_remat, find_preset
from diptych.sharding.spec import MeshSpec

OPEN = MeshSpec(replica=-1, fsdp=-1, tensor=1)


def test_all_hardware_has_one():
    assert all(find_preset(kind) for kind in HARDWARE)
    assert {preset.hardware for preset in PRESETS} == {hardware.name for hardware in HARDWARE.values()}
    assert {preset.remat for preset in PRESETS} <= {"none", "dots", "full"}


@pytest.mark.parametrize(
    ("kind", "count", "sizes"),
    [
        ("TPU v5 lite", 256, (4, 64, 1)),
        ("TPU v5 lite", 8, (1, 8, 1)),
        ("TPU v5", 1024, (16, 64, 1)),
        ("TPU v5", 96, (3, 32, 1)),
        ("NVIDIA H100 80GB HBM3", 512, (64, 8, 1)),
        ("NVIDIA H200", 1, (1, 1, 1)),
        ("cpu", 8, (1, 8, 1)),
        (None, 8, (1, 8, 1)),
    ],
)
def test_an_open_mesh_is_shared_out_by_kind_and_count(kind, count, sizes):
    recipe = load_recipe("siglip_vit_b16", ["mesh.replica=-1", "train.batch_size=12288", "eval.batch_size=12288"])
    found = check_devices(recipe, device_count=count, device_kind=kind)
    assert (found.replica, found.fsdp, found.tensor) == sizes


def test_what_is_said_is_kept():
    for said in (MeshSpec(fsdp=32, replica=-1), MeshSpec(), MeshSpec(replica=-1, fsdp=8, tensor=2)):
        assert filled_mesh(said, device_count=256, device_kind="TPU v5 lite") == said
    assert filled_mesh(MeshSpec(replica=-1, fsdp=-1, tensor=4), device_count=64, device_kind="TPU v5 lite").fsdp == 16
    assert filled_mesh(MeshSpec(replica=-1, fsdp=-1, tensor=-1), device_count=64, device_kind="TPU v5 lite").tensor == 1
    assert filled_remat("none", device_kind="TPU v5 lite") == "none"


def test_remat_that_is_left_open(tiny_recipe):
    assert filled_remat("auto", device_kind="TPU v5 lite") == "full"
    assert filled_remat("auto", device_kind="cpu") == "full", "the safe one"
    recipe = load_recipe("siglip_vit_b16", ["mesh.replica=-1", "train.remat=auto"])
    found = on_devices(recipe, device_count=256, device_kind="TPU v5")
    assert (found.train.remat, found.mesh) == ("dots", MeshSpec(replica=4, fsdp=64, tensor=1))


def test_other_axes_may_not_be_left_open():
    with pytest.raises(UserError, match=r"mesh = \(1, -1, -1\) has -1 more than once; accepted is one -1, or replica and fsdp = -1"):
        load_recipe("siglip_vit_b16", ["mesh.replica=1", "mesh.tensor=-1"])

import pytest

from diptych.sharding.hardware import peak_tflops


@pytest.mark.parametrize(
    ("device_kind", "tflops"),
    [
        ("TPU v4", 275.0),
        ("TPU v5 lite", 197.0),
        ("TPU v5e", 197.0),
        ("TPU v5", 459.0),
        ("TPU v5p", 459.0),
        ("TPU v6e", 918.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA H100 80GB HBM3", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H100 NVL", 835.0),
        ("NVIDIA H200", 989.0),
        ("NVIDIA H200 NVL", 835.0),
        ("NVIDIA B200", 2250.0),
    ],
)
def test_peak_is_that_of_the_very_device(device_kind, tflops):
    assert peak_tflops(device_kind) == tflops


@pytest.mark.parametrize("device_kind", ["cpu", "TPU v4 lite", "TPU v50", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA A100X", "NVIDIA"])
def test_what_is_not_known_has_no_peak(device_kind):
    assert peak_tflops(device_kind) is None

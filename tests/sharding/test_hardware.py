import pytest

from diptych.sharding.hardware import HARDWARE, OTHER_PEAKS, peak_tflops
from diptych.sharding.measurements import Measurement, measured_mfu


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


def test_every_kind_has_what_a_roofline_divides_by():
    for kind, hardware in HARDWARE.items():
        rates = (hardware.peak_bf16_tflops, hardware.hbm_bytes, hardware.hbm_bandwidth, hardware.link_bandwidth, hardware.host_bandwidth)
        assert min(rates) > 0 and hardware.devices_per_host > 0, kind
        assert hardware.host_bandwidth / hardware.devices_per_host < hardware.axis_bandwidth < hardware.hbm_bandwidth, kind
        assert hardware.platform == ("tpu" if kind.startswith("TPU") else "cuda")
        assert (hardware.float32_tflops is None) == (hardware.platform == "tpu"), kind
    assert not HARDWARE.keys() & OTHER_PEAKS


def test_the_newest_measurement_of_the_same_recipe_counts():
    one = lambda date, recipe, mfu: Measurement(date=date, hardware="h200", devices=1, recipe=recipe, mfu=mfu)  # noqa: E731
    known = (one("2026-01-01", "a", 0.4), one("2026-02-01", "a", 0.5), one("2026-03-01", "b", 0.3))
    assert measured_mfu("h200", "a", table=known) == known[1]
    assert measured_mfu("h200", "c", table=known) == known[2], "of another recipe, rather than none"
    assert measured_mfu("v5e", "a", table=known) is None

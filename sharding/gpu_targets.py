"""What XLA must know of a GPU to compile for it: `GpuTargetConfigProto` in text form, made from a few numbers.

The numbers are those of XLA's own `target_config/specs`; A100, H100, H200 and B200 differ in nothing else that the compiler reads here.
"""

from __future__ import annotations

import dataclasses

from .hardware import A100, B200, H100, H200, Hardware


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """cores: streaming multiprocessors. fpus: a core. shared_memory: bytes of a core, and what a block may ask for. capability: sm_NN."""

    hardware: Hardware
    device_kind: str
    cores: int
    fpus: int
    shared_memory: int
    block_shared_memory: int
    l2_cache: int
    clock_ghz: float
    capability: int


H100_TARGET = Target(
    hardware=H100,
    device_kind="NVIDIA H100 80GB HBM3",
    cores=132,
    fpus=128,
    shared_memory=233472,
    block_shared_memory=232448,
    l2_cache=52428800,
    clock_ghz=1.98,
    capability=9,
)
TARGETS = {
    "a100": Target(
        hardware=A100,
        device_kind="NVIDIA A100-SXM4-80GB",
        cores=108,
        fpus=64,
        shared_memory=167936,
        block_shared_memory=166912,
        l2_cache=41943040,
        clock_ghz=1.41,
        capability=8,
    ),
    "h100": H100_TARGET,
    "h200": dataclasses.replace(H100_TARGET, hardware=H200, device_kind="NVIDIA H200"),
    "b200": Target(
        hardware=B200,
        device_kind="NVIDIA B200",
        cores=148,
        fpus=128,
        shared_memory=233472,
        block_shared_memory=232448,
        l2_cache=132644864,
        clock_ghz=1.965,
        capability=10,
    ),
}


def target_config(name: str) -> str:
    """The text of the target configuration of a key of TARGETS."""
    target = TARGETS[name]
    return f"""gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: {target.shared_memory} shared_memory_per_block_optin: {target.block_shared_memory}
  core_count: {target.cores} fpus_per_core: {target.fpus} clock_rate_ghz: {target.clock_ghz} l2_cache_size: {target.l2_cache}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: {int(target.hardware.hbm_bandwidth)} device_memory_size: {int(target.hardware.hbm_bytes)}
  cuda_compute_capability {{ major: {target.capability} }}
  device_vendor: "NVIDIA Corporation" device_address_bits: 64 name: "{target.device_kind}"
  driver_version: "13.0.0" runtime_version: "12.8.0" compile_time_toolkit_version: "12.8.0" dnn_version: "9.10.0"
}}
platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 10 patch: 0 }} device_description_str: "{target.device_kind}"
"""

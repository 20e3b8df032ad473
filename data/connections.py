"""Connections to stores: made once a process, kept, and shared by its threads."""

from __future__ import annotations

import functools
from typing import Any

import aiohttp
import fsspec

from ..errors import UserError
from .retry import Patience
from .store_http import HttpStore
from .store_s3 import S3Store
from .stores import AnyStore, Store

ACCEPTED = "accepted are local paths and gs://, s3://, https:// and hf:// urls"
PACKAGES = {"gs": "diptych[gs]", "gcs": "diptych[gs]", "s3": "diptych[s3]", "s3a": "diptych[s3]", "hf": "diptych[hf]"}


@functools.lru_cache(maxsize=32)
def filesystem(protocol: str, patience: Patience, process: int) -> Any:
    """fsspec's side of a store, without caches of its own; a forked process gets one of its own, as event loops do not survive forks."""
    del process
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    limits = aiohttp.ClientTimeout(total=None, sock_connect=patience.stall, sock_read=patience.stall)
    if protocol in ("http", "https"):
        options["client_kwargs"] = {"timeout": limits, "trust_env": True}
    elif protocol in ("s3", "s3a"):
        seconds = {"connect_timeout": patience.stall, "read_timeout": patience.stall}
        options["config_kwargs"] = {**seconds, "retries": {"total_max_attempts": 1}, "max_pool_connections": 64}
    elif protocol in ("gs", "gcs"):
        options["requests_timeout"] = limits
    try:
        return fsspec.filesystem(protocol, **options)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        how = f"pip install '{package}'" if package else str(error)
        raise UserError(f"{protocol}:// urls need a package that is not installed: {how}; {ACCEPTED}") from error
    except ValueError as error:
        raise UserError(f"{protocol}:// is no known kind of url; {ACCEPTED}") from error


@functools.lru_cache(maxsize=32)
def store(protocol: str, patience: Patience, process: int) -> Store:
    """How objects of `protocol` are read."""
    fs = filesystem(protocol, patience, process)
    if protocol in ("http", "https"):
        return HttpStore(fs, patience)
    if protocol in ("s3", "s3a"):
        return S3Store(fs, patience)
    return AnyStore(fs, patience)

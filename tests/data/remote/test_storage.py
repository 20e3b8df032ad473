"""Exact ranged reads, of this machine and of a server that fails."""

import os
import sys
import time

import pytest

from diptych.data import connections
from diptych.data.retry import Changed, Patience, retry
from diptych.data.storage import open_url
from diptych.data.store_s3 import s3_checksum
from diptych.data.stores import any_checksum, any_tag
from diptych.errors import UserError


def test_a_local_file_is_read_exactly(tmp_path, noise):
    path, content = tmp_path / "a.tar", noise(10_000)
    path.write_bytes(content)
    for url in (str(path), f"file://{path}"):
        blob = open_url(url)
        assert (blob.size, blob.pread(17, 3000), blob.pread(0, 0)) == (10_000, content[17:3017], b"")
        with pytest.raises(OSError, match="0 of the 10 bytes at 10000 came"):
            blob.pread(10_000, 10)
        blob.close()
        with pytest.raises(OSError, match="closed"):
            blob.pread(0, 1)


def test_a_local_file_that_changes_is_noticed(tmp_path, noise):
    path = tmp_path / "a.tar"
    path.write_bytes(noise(1000))
    blob = open_url(str(path))
    path.write_bytes(noise(1000, 1))
    os.utime(path, ns=(0, 0))
    with pytest.raises(Changed, match="has changed"):
        blob.pread(0, 10)


def test_a_remote_file_is_read_exactly(site, noise, patience):
    content = noise(300_000)
    blob = open_url(site.put("a.tar", content), patience=patience)
    assert blob.size == 300_000 and blob.etag.startswith("etag:")
    assert [blob.pread(0, 300_000), blob.pread(299_999, 1), blob.pread(7, 0)] == [content, content[-1:], b""]
    with pytest.raises(OSError, match="has 300000 bytes"):
        blob.pread(299_999, 2)
    assert open_url(site.put("empty.tar", b""), patience=patience).size == 0


@pytest.mark.parametrize("fault", ["503", "drop", "cut", "stall"])
def test_a_fault_is_tried_again(site, noise, patience, fault):
    content = noise(50_000)
    site.fault = lambda number: fault if number in (2, 3) else None
    blob = open_url(site.put("a.tar", content), patience=patience)
    assert blob.pread(100, 40_000) == content[100:40_100]
    assert site.faults == {fault: 2, None: 2}


@pytest.mark.parametrize("fault", ["503", "drop", "cut", "stall"])
def test_a_server_that_stays_down_is_given_up_in_words(site, noise, patience, fault):
    url = site.put("a.tar", noise(50_000))
    blob = open_url(url, patience=patience)
    site.fault = lambda number: fault
    start = time.monotonic()
    with pytest.raises(OSError, match=rf"{url}, bytes 10 .. 1009: gave up after 5 attempts in .* s; the last one: \w+"):
        blob.pread(10, 1000)
    assert time.monotonic() - start < 5 * (patience.stall + patience.longest_pause) + 2


@pytest.mark.parametrize("fault", ["503", "drop"])
def test_opening_is_tried_again_too(site, noise, patience, fault):
    url = site.put("a.tar", noise(100))
    site.fault = lambda number: fault if number != 3 else None
    assert open_url(url, patience=patience).size == 100
    with pytest.raises(OSError, match=f"{url}: gave up after 5 attempts"):
        open_url(url, patience=patience)


def test_a_trickle_is_a_stall(site, noise, patience, monkeypatch):
    monkeypatch.setattr("diptych.data.retry.SLOWEST", 1 << 40)
    blob = open_url(site.put("a.tar", noise(50_000)), patience=patience)
    site.fault = lambda number: "trickle"
    with pytest.raises(OSError, match=r"gave up after 5 attempts.*Timeout"):
        blob.pread(0, 50)
    assert site.faults["trickle"] == 5


@pytest.mark.parametrize("etags", [True, False])
def test_an_object_that_changes_is_noticed_at_once(site, noise, patience, etags):
    site.etags = etags
    blob = open_url(site.put("a.tar", noise(50_000)), patience=patience)
    site.put("a.tar", noise(50_000 if etags else 40_000, 1))
    asked = len(site.requests)
    with pytest.raises(Changed, match="was 50000 bytes"):
        blob.pread(0, 100)
    assert len(site.requests) == asked + 1


def test_what_no_attempt_can_change_fails_at_once(site, noise, patience):
    with pytest.raises(FileNotFoundError, match=f"{site.url}/none.tar"):
        open_url(f"{site.url}/none.tar", patience=patience)
    site.ranges = False
    with pytest.raises(OSError, match="does not serve ranges"):
        open_url(site.put("a.tar", noise(100)), patience=patience)
    assert len(site.requests) == 1


@pytest.mark.parametrize(("status", "kind"), [(401, PermissionError), (403, PermissionError), (404, FileNotFoundError)])
def test_what_a_server_refuses_is_not_asked_again(site, noise, patience, status, kind):
    site.missing = status
    with pytest.raises(kind, match=rf"{site.url}/none.tar: {kind.__name__}: status {status}"):
        open_url(f"{site.url}/none.tar", patience=patience)
    blob = open_url(site.put("a.tar", noise(100)), patience=patience)
    del site.files["/a.tar"]
    with pytest.raises(kind, match=f"status {status}"):
        blob.pread(0, 10)


def test_a_mistake_in_the_code_is_no_reason_to_try_again(patience):
    calls = []
    with pytest.raises(TypeError):
        retry(lambda: calls.append(1) or len(3), what="x", patience=patience)
    assert len(calls) == 1


def test_pauses_double_up_to_the_longest_with_jitter():
    patience = Patience(pause=1.0, longest_pause=6.0)
    for attempt, longest in ((2, 1), (3, 2), (4, 4), (5, 6), (9, 6)):
        pauses = {patience.before(attempt) for _ in range(50)}
        assert longest / 2 <= min(pauses) < max(pauses) <= longest and len(pauses) > 40


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    connections.filesystem.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'diptych\[gs\]'"):
        open_url("gs://bucket/a.tar")
    with pytest.raises(UserError, match="ftpx:// is no known kind of url; accepted are"):
        open_url("ftpx://host/a.tar")


def test_checksums_are_told_from_versions():
    md5 = "0" * 32
    assert s3_checksum(md5, "") == s3_checksum(md5, "AES256") == f"md5:{md5}"
    assert s3_checksum(md5, "aws:kms") == s3_checksum(f"{md5}-3", "") == ""
    assert any_checksum({"md5Hash": "AAAA", "crc32c": "/w=="}) == any_tag({"md5Hash": "AAAA"}) == "md5:000000"
    assert any_checksum({"crc32c": "/w==", "generation": "7"}) == "crc32c:ff"
    assert (any_tag({"ETag": f'"{md5}"'}), any_checksum({"ETag": f'"{md5}"'})) == (f"etag:{md5}", "")

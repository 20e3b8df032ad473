"""Shards of servers that do not say plainly that a file beside them is not there."""

import logging

import pytest

from diptych.data.index import index_shards


@pytest.fixture
def far(site, shards, tmp_path, monkeypatch):
    """Pattern of the three shards with 40 samples, on the server."""
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    shards()
    for path in tmp_path.glob("s-*.tar"):
        site.put(f"set/{path.name}", path.read_bytes())
    return f"{site.url}/set/s-{{0..2}}.tar"


@pytest.mark.parametrize("status", [200, 403, 404])
def test_what_cannot_be_read_beside_shards_is_not_there(far, site, caplog, status):
    site.missing = status
    with caplog.at_level(logging.INFO):
        index = index_shards([far], setting="data.train")
    assert len(index) == 40 and all(shard.counted == "headers" for shard in index.shards)
    assert caplog.text.count(f"beside the shards in {site.url}/set is not used") == (status != 404)


def test_a_signed_url_is_asked_for_nothing_else(far, site):
    signed = [f"{site.url}/set/s-{number}.tar?signature=abc" for number in range(3)]
    for number in range(3):
        site.files[f"/set/s-{number}.tar?signature=abc"] = site.files.pop(f"/set/s-{number}.tar")
    site.missing = 403
    assert len(index_shards(signed, setting="data.train")) == 40
    asked = {path for path, _, _ in site.requests}
    assert asked == {f"/set/s-{number}.tar?signature=abc" for number in range(3)}

import pytest

from diptych import UserError
from diptych.data.shards import expand


def test_a_link_to_nothing_is_named(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"")
    (tmp_path / "b.tar").symlink_to(tmp_path / "gone.tar")
    with pytest.raises(UserError, match=r"^data\.train = '.*' matches '.*b\.tar', a link to nothing; accepted are"):
        expand([f"{tmp_path}/*.tar"], setting="data.train")
    with pytest.raises(UserError, match=r"^data\.train = '.*b\.tar' matches '.*b\.tar', a link to nothing"):
        expand([f"{tmp_path}/b.tar"], setting="data.train")

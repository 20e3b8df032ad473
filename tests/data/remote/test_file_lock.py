"""Locks end when they are given back, whoever was forked meanwhile, and are not waited for without end."""

import os
import subprocess
import threading
import time

import pytest

from diptych.data.file_lock import lock, unlock, unlocked


def test_a_child_that_has_the_file_open_does_not_keep_the_lock(tmp_path):
    held = lock(tmp_path / "lock", patience=1.0)
    child = subprocess.Popen(["sleep", "20"], pass_fds=[held])
    try:
        assert not unlocked(tmp_path / "lock")
        unlock(held)
        assert unlocked(tmp_path / "lock")
        unlock(lock(tmp_path / "lock", patience=0.2))
    finally:
        child.kill()
        child.wait()


def test_who_does_nothing_with_a_lock_is_named_after_a_while(tmp_path):
    held = lock(tmp_path / "lock", patience=1.0)
    with pytest.raises(TimeoutError, match=r"another process has locked it, and done nothing with it.*lock'"):
        lock(tmp_path / "lock", patience=0.1)
    unlock(held)


def test_who_writes_is_waited_for(tmp_path):
    held = lock(tmp_path / "part", patience=1.0)

    def write():
        for _ in range(20):
            os.pwrite(held, b"x", 0)
            time.sleep(0.03)
        unlock(held)

    writer = threading.Thread(target=write)
    writer.start()
    unlock(lock(tmp_path / "part", patience=0.3))
    writer.join()

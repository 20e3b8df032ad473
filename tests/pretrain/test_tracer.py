import jax
import pytest

from diptych.pretrain.tracer import Profile, Tracer


@pytest.fixture
def traced(monkeypatch):
    """What is asked of jax's profiler, in order."""
    calls = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: calls.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    return calls


def run(workdir, profile, steps, calls, *, fails_at=None):
    with Tracer(workdir, profile) as tracer:
        for step in steps:
            tracer.before(step)
            calls.append(step)
            if step == fails_at:
                raise KeyError
            tracer.after(step, jax.numpy.zeros(()))


@pytest.mark.parametrize(
    ("profile", "steps", "asked"),
    [
        (Profile(1, 3), range(1, 5), [1, "start", 2, 3, "stop", 4]),
        (Profile(0, 1), range(1, 3), ["start", 1, "stop", 2]),
        (Profile(1, 9), range(1, 4), [1, "start", 2, 3, "stop"]),  # beyond the last step
        (Profile(1, 4), range(3, 6), ["start", 3, 4, "stop", 5]),  # resumed in the middle
        (Profile(1, 2), range(3, 5), [3, 4]),  # resumed behind it
        (None, range(1, 3), [1, 2]),
    ],
)
def test_the_steps_of_a_profile_are_traced(tmp_path, traced, profile, steps, asked):
    run(tmp_path, profile, steps, traced)
    assert traced == asked


def test_an_exception_closes_the_trace(tmp_path, traced):
    with pytest.raises(KeyError):
        run(tmp_path, Profile(1, 3), range(1, 5), traced, fails_at=2)
    assert traced == [1, "start", 2, "stop"]

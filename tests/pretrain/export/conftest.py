import pytest

from diptych.pretrain.export.export import export_run


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory):
    """The model of the trained run as a folder."""
    out = tmp_path_factory.mktemp("models") / "squares"
    export_run(trained, out)
    return out

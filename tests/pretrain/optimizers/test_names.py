import pytest

from diptych.errors import UserError
from diptych.pretrain.optimizers.names import check_pattern

NAMES = ("model.image.patch", "model.image.norm.scale", "model.image.norm.bias", "model.text.embedding")


def test_a_pattern_matches_a_whole_name_or_is_answered_by_the_nearest():
    check_pattern(r"model\.image\..*", NAMES, setting="optimizer.freeze")
    with pytest.raises(UserError) as answer:
        check_pattern(r"model\.text\.embeding", NAMES, setting="optimizer.freeze")
    assert str(answer.value).startswith(r"optimizer.freeze has 'model\\.text\\.embeding', which matches no parameter; accepted are")
    assert "such as model.text.embedding," in str(answer.value)

import pytest

from diptych.errors import UserError
from diptych.pretrain.recipe import load_recipe


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.text_key=TXT"], "data.text_key has 'TXT', and members have names without capitals; accepted is 'txt'"),
        (
            ["data.text_key=JSON:Caption"],
            "data.text_key has 'JSON:Caption', and members have names without capitals; accepted is 'json:Caption'",
        ),
        (["data.caption.sources.Alt=1"], "data.caption.sources has 'Alt', and members have names without capitals; accepted is 'alt'"),
        (["data.caption.sources.txt=1e308", "data.caption.sources.alt=1e308"], "data.caption.sources = {"),
        (["data.caption.sources.txt=inf"], "data.caption.sources"),
    ],
)
def test_texts_that_no_sample_has_and_shares_without_a_sum(overrides, sentence):
    with pytest.raises(UserError) as error:
        load_recipe("clip_vit_b16", ["data.train=x.tar", *overrides])
    assert str(error.value).startswith(sentence) and "accepted" in str(error.value) and "\n" not in str(error.value)


def test_a_key_of_a_json_may_have_capitals():
    assert load_recipe("clip_vit_b16", ["data.train=x.tar", "data.text_key=json:Caption"]).data.text_key == "json:Caption"
    large = ["data.caption.sources.txt=1e307", "data.caption.sources.alt=1e307"]
    assert load_recipe("clip_vit_b16", ["data.train=x.tar", *large]).data.caption.sources

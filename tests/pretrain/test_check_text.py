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


def test_a_captioner_is_told_how_to_leave_captions_whole():
    towers = ["model.text.pool=cls", "model.image.pool=attentional", "model.image.pool_heads=3", "model.image.pool_queries=16"]
    captioner = [*towers, "model.decoder.depth=2", "model.decoder.heads=3", "objective.terms.captioning=2"]
    with pytest.raises(UserError, match=r"^data\.text_lengths = .*; accepted is an empty list, --config\.data\.text_lengths=\[\]$"):
        load_recipe("clip_emoji", captioner)
    assert load_recipe("clip_emoji", [*captioner, "data.text_lengths=[]"]).data.text_lengths == ()

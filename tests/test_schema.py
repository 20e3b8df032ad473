import dataclasses
import json
import pickle
from collections.abc import Mapping

import pytest

from diptych.errors import UserError
from diptych.schema import ABSENT, FrozenMapping, build, differences, identity, runtime, to_dict


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    depth: int = 2
    rate: float = 0.5
    names: tuple[str, ...] = ()
    place: str = runtime("here")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = Inner()
    maybe: Inner | None = None
    count: int | None = None
    flag: bool = False
    pair: tuple[float, float] = (0.0, 1.0)
    table: tuple[tuple[str, float], ...] = ()
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    parts: Mapping[str, Inner] = dataclasses.field(default_factory=dict)
    logs: Inner = runtime(Inner())


def test_build_types_every_kind_of_field():
    built = build(
        Outer,
        {
            "inner": {"depth": 3, "rate": 1, "names": ["a", "b"]},
            "maybe": {"depth": 1},
            "pair": [1, 2],
            "weights": {"softmax": 1},
            "parts": {"x": {"rate": 2}},
        },
    )
    assert built.inner == Inner(depth=3, rate=1.0, names=("a", "b"))
    assert isinstance(built.inner.rate, float) and built.maybe == Inner(depth=1)
    assert built.pair == (1.0, 2.0) and built.weights == {"softmax": 1.0} and built.parts["x"].rate == 2.0
    assert hash(built) == hash(pickle.loads(pickle.dumps(built))) and built == pickle.loads(pickle.dumps(built))


def test_defaults_are_immutable_too():
    built = build(Outer, {})
    assert isinstance(built.weights, FrozenMapping) and built.weights == {}
    with pytest.raises(TypeError):
        built.weights["softmax"] = 1.0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"inner": {"dept": 3}}, "inner.dept is not a setting; did you mean inner.depth?"),
        ({"zzzzzz": 3}, "zzzzzz is not a setting; accepted are inner, maybe, count, flag, pair, table, weights, parts, logs"),
        ({"parts": {"x": {"rat": 3}}}, "parts.x.rat is not a setting; did you mean parts.x.rate?"),
        ({"inner": {"depth": "3"}}, "inner.depth = '3' has the wrong type; accepted is an integer"),
        ({"inner": {"depth": 3.0}}, "inner.depth = 3.0 has the wrong type; accepted is an integer"),
        ({"inner": {"depth": True}}, "inner.depth = True has the wrong type; accepted is an integer"),
        ({"inner": {"rate": "fast"}}, "inner.rate = 'fast' has the wrong type; accepted is a number"),
        ({"inner": {"rate": None}}, "inner.rate = None has the wrong type; accepted is a number"),
        ({"inner": {"names": "a"}}, "inner.names = 'a' has the wrong type; accepted is a list of strings"),
        ({"inner": {"names": ["a", 1]}}, "inner.names[1] = 1 has the wrong type; accepted is a string"),
        ({"count": 1.5}, "count = 1.5 has the wrong type; accepted is an integer or none"),
        ({"flag": 1}, "flag = 1 has the wrong type; accepted is true or false"),
        ({"pair": [1.0]}, "pair = [1.0] has the wrong type; accepted is a list of 2 numbers"),
        ({"table": ["a", 0.1]}, "table[0] = 'a' has the wrong type; accepted is a list of a string and a number"),
        ({"table": 0.1}, "table = 0.1 has the wrong type; accepted is a list of lists of a string and a number"),
        ({"weights": [1.0]}, "weights = [1.0] has the wrong type; accepted is names with numbers"),
        ({"weights": {"a": "b"}}, "weights.a = 'b' has the wrong type; accepted is a number"),
        ({"inner": 3}, "inner = 3 has the wrong type; accepted is a group of settings (depth, rate, names, place)"),
        ({"inner": {"rate": float("nan")}}, "inner.rate = nan is out of range; accepted is a finite number"),
        ({"pair": [0.0, float("-inf")]}, "pair[1] = -inf is out of range; accepted is a finite number"),
        ({"weights": {"a": 10**400}}, f"weights.a = {10**400} is out of range; accepted is a finite number"),
    ],
)
def test_wrong_values_are_answered_in_one_sentence(values, sentence):
    with pytest.raises(UserError) as error:
        build(Outer, values)
    assert str(error.value) == sentence


def test_to_dict_is_json_and_builds_again():
    built = build(Outer, {"maybe": {"names": ["a"]}, "weights": {"a": 2}, "count": 3})
    assert build(Outer, json.loads(json.dumps(to_dict(built)))) == built


def test_identity_leaves_out_runtime_fields_at_every_level():
    values = identity(build(Outer, {"parts": {"x": {}}}))
    assert "logs" not in values and "place" not in values["inner"] and "place" not in values["parts"]["x"]
    assert values["inner"] == {"depth": 2, "rate": 0.5, "names": []}


def test_differences_name_path_and_both_values():
    saved = {"a": {"b": 1, "c": [1]}, "d": 2}
    assert list(differences(saved, {"a": {"b": 1, "c": [1]}, "d": 2})) == []
    assert list(differences(saved, {"a": {"b": 1, "c": [2]}, "d": 3})) == [("a.c", [1], [2]), ("d", 2, 3)]
    assert list(differences(saved, {"a": {"b": 1, "c": [1]}, "d": 2, "e": 5})) == [("e", ABSENT, 5)]
    assert list(differences(saved, {"a": {"b": 1}, "d": 2})) == [("a.c", [1], ABSENT)]
    assert list(differences(saved, {"a": None, "d": 2})) == [("a", {"b": 1, "c": [1]}, None)]

"""Fast makers of frozen values: what they make is in no way different."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobcore
from core_strategies import T0, accepted, after, decided, events, make_job, specs
from jobcore import evolve
from jobcore._evolve import evolver, maker


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    own: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.first < 0:
            msg = "first: expected 0 or more"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Pair:
    left: int
    right: int = 0


@dataclass
class Loose:
    left: int


def test_a_maker_makes_what_the_constructor_makes():
    made, plain = maker(Value)(first=1), Value(first=1)
    assert made == plain
    assert type(made) is Value
    assert hash(maker(Pair)(1)) == hash(Pair(1))
    assert repr(made) == repr(plain)
    assert maker(Pair)(1, right=2) == Pair(1, 2)


def test_each_value_gets_a_default_of_its_own():
    make = maker(Value)
    assert make(first=1).third is not make(first=1).third


def test_what_is_made_is_frozen_checked_and_can_be_copied():
    made = maker(Value)(first=1)
    for change in (lambda: setattr(made, "first", 2), lambda: delattr(made, "first")):
        with pytest.raises(FrozenInstanceError):
            change()
    with pytest.raises(ValueError, match="first"):
        maker(Value)(first=-1)
    with pytest.raises(ValueError, match="first"):
        evolve(made, first=-1)
    assert copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize("wrong", [{}, {"first": 1, "fourth": 4}, {"first": 1, "own": "x"}])
def test_a_maker_refuses_the_arguments_that_the_constructor_refuses(wrong):
    for make in (Value, maker(Value)):
        with pytest.raises(TypeError):
            make(**wrong)


def test_evolving_gives_a_field_of_its_own_its_default_again():
    value = Value(first=1)
    object.__setattr__(value, "own", "kept")
    assert evolve(value).own == replace(value).own is None


@pytest.mark.parametrize("value", [3, Loose(1), "text"])
def test_only_dataclasses_with_slots_can_be_evolved(value):
    with pytest.raises(TypeError, match="is no dataclass with slots"):
        evolve(value)


@given(specs, st.text(max_size=3))
def test_evolving_is_replacing(spec, group):
    assert evolve(spec, group=group) == replace(spec, group=group)
    job = after(jobcore.new_job(make_job().job_id, spec, now=T0), decided(), accepted())
    assert evolve(job, version=7) == replace(job, version=7)
    with pytest.raises(TypeError):
        evolve(job, verison=7)


def test_an_evolver_takes_the_new_values_in_the_order_of_their_names():
    assert evolver(Pair, "right", "left")(Pair(1, 2), 3, 4) == Pair(4, 3)
    with pytest.raises(TypeError, match="Pair has no field 'middle'"):
        evolver(Pair, "middle")


@given(events(st.just(1)))
def test_evolving_nothing_gives_an_equal_value(event):
    assert evolve(event) == event


def test_every_value_of_the_core_can_be_made_so():
    values = [
        value
        for name in jobcore.__all__
        if isinstance(value := getattr(jobcore, name), type)
        and "__slots__" in value.__dict__
        and hasattr(value, "__dataclass_fields__")
    ]
    assert len(values) > 40
    for value in values:
        assert callable(maker(value))
        assert callable(evolver(value, *(f.name for f in fields(value) if f.init)))
        assert {f.name for f in fields(value)} == set(value.__slots__)


def test_members_of_an_enumeration_are_found_by_their_texts():
    status = jobcore.Status
    assert {status.NEW: 1}["New"] == 1
    assert status["NEW"] is status.NEW is status("New")
    assert list(status) == list(status.__members__.values())
    with pytest.raises(AttributeError):
        status.NEW = status.HELD

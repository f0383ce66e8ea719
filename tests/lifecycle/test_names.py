from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcore import job_id_from_bytes, job_id_from_token
from jobcore.lifecycle import hash_fraction, is_job_id, parse_training_name, training_name

SAGEMAKER = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
entropies = st.binary(min_size=16, max_size=16)
ids = entropies.map(job_id_from_bytes)
numbers = st.integers(1, 999_999_999)


@given(entropies, entropies)
def test_ids_are_injective(one, other):
    assert (job_id_from_bytes(one) == job_id_from_bytes(other)) == (one == other)
    assert is_job_id(job_id_from_bytes(one))


@given(st.tuples(ids, numbers), st.tuples(ids, numbers))
def test_training_names_are_injective_reversible_and_take_sagemakers_pattern(one, other):
    name = training_name(*one)
    assert (name == training_name(*other)) == (one == other)
    assert parse_training_name(name) == one
    assert len(name) <= 39
    assert SAGEMAKER.fullmatch(name)


@given(st.text(max_size=45))
def test_only_our_names_are_read(text):
    parsed = parse_training_name(text)
    assert parsed is None or training_name(*parsed) == text


@pytest.mark.parametrize(
    "text", ["../x", "", "A" * 26, "0" * 25, "0" * 27, "0" * 26 + "\n", "i" * 26, "\u0660" * 26]
)
def test_what_is_no_id_makes_no_name(text):
    assert not is_job_id(text)
    assert parse_training_name(f"jc-{text}-1") is None
    with pytest.raises(ValueError, match="is not a job id"):
        training_name(text, 1)


@pytest.mark.parametrize("attempt", [0, -1, 1_000_000_000])
def test_an_attempt_out_of_range_makes_no_name(attempt):
    with pytest.raises(ValueError, match="outside 1"):
        training_name("0" * 26, attempt)


def test_an_id_needs_16_bytes():
    with pytest.raises(ValueError, match="expected 16 bytes, got 15"):
        job_id_from_bytes(b"x" * 15)


@given(st.text(), st.text(), st.text(), st.text())
def test_a_token_belongs_to_its_owner(owner, token, owner2, token2):
    same = job_id_from_token(owner, token) == job_id_from_token(owner2, token2)
    assert same == ((owner, token) == (owner2, token2))


@given(st.text(min_size=2), st.data())
def test_where_owner_ends_and_token_begins_matters(text, data):
    first, second = data.draw(
        st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(
            lambda c: c[0] != c[1]
        )
    )
    assert job_id_from_token(text[:first], text[first:]) != job_id_from_token(
        text[:second], text[second:]
    )


@given(st.lists(st.text() | st.integers()))
def test_a_hash_fraction_is_a_fraction_and_never_changes(parts):
    assert 0 <= hash_fraction(*parts) < 1
    assert hash_fraction(*parts) == hash_fraction(*parts)


def test_the_last_attempt_that_has_a_name():
    job_id = job_id_from_bytes(bytes(16))
    assert parse_training_name(training_name(job_id, 999_999_999)).attempt == 999_999_999


def test_any_text_is_a_token_or_a_part():
    lone = "\ud800"  # what a file name may decode to
    assert is_job_id(job_id_from_token(lone, lone))
    assert 0 <= hash_fraction(lone) < 1


def test_the_formats_are_stored_and_so_may_never_change():
    assert job_id_from_bytes(bytes(range(16))) == "00041061050r3gg28a1c60t3gf"
    assert job_id_from_token("ada", "1") == "45g62yqzzk6ye5gx074ya0gngj"
    assert hash_fraction("a", 1) == 0.651759068399256

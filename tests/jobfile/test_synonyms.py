"""An unknown field is named once, with the field that was meant; the known fields are listed once."""

from __future__ import annotations

import pytest

from jobcore import InvalidJob, parse_job
from jobcore.jobfile import job_fields
from jobcore.jobfile.synonyms import (
    CLOCK_WORDS,
    JOB_WORDS,
    METRIC_WORDS,
    POOL_WORDS,
    RETRY_WORDS,
    plain_word,
)


def problems(**fields: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidJob) as caught:
        parse_job({"script": "a.py", **fields}, owner="ada", service_tables=["service"])
    return [tuple(problem) for problem in caught.value.problems]


def test_the_known_fields_are_listed_once_for_all_unknown_ones():
    found = problems(zzzzzzzz=1, yyyyyyyy=2, wwwwwwww=3)
    assert [field for field, _ in found] == ["zzzzzzzz", "yyyyyyyy", "wwwwwwww"]
    texts = [text for _, text in found]
    assert [text.count("known: ") for text in texts] == [1, 0, 0]
    assert texts[1:] == ["unknown field"] * 2


def test_a_list_of_pools_lists_the_fields_of_a_pool_once():
    found = problems(pools=[{"pool": "a", "x": 1}, {"pool": "b", "x": 1}])
    assert found == [
        ("pools[0].x", "unknown field; known: count, pool"),
        ("pools[1].x", "unknown field"),
    ]


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("entry_point", "the field is called script"),
        ("instance_type", "pools = ["),
        ("instance_count", "count, and stands beside the pool"),
        ("max_run", "run_at_most, in [clocks]"),
        ("max_wait", "wait_at_most, in [clocks]"),
        ("use_spot_instances", "property of the pool"),
        ("metric_definitions", "metrics, a table of regular expressions"),
        ("image_uri", "the field is called image"),
        ("source_directory", "the field is called source_dir"),
        ("hyper_parameters", "did you mean 'hyperparameters'?"),
        ("HyperParameters", "did you mean 'hyperparameters'?"),
        ("SourceDir", "did you mean 'source_dir'?"),
        ("EntryPoint", "the field is called script"),
        ("output", "the backend's settings decide it"),
        ("output_path", "the backend's settings decide it"),
    ],
)
def test_words_of_other_tools_are_understood(word, hint):
    ((field, text),) = problems(**{word: "x"})
    assert field == word
    assert text.startswith("unknown field; ")
    assert hint in text
    assert "known:" not in text


@pytest.mark.parametrize(
    ("fields", "field", "hint"),
    [
        ({"pools": [{"instance_type": "a"}]}, "pools[0].instance_type", "called pool"),
        ({"pools": [{"pool": "a", "slots": 2}]}, "pools[0].slots", "called count"),
        ({"clocks": {"max_run": 60}}, "clocks.max_run", "called run_at_most"),
        ({"clocks": {"deadline": 60}}, "clocks.deadline", "called finish_by"),
        ({"metrics": {"loss": {"pattern": "(.)"}}}, "metrics.loss.pattern", "called regex"),
        ({"retry": {"max_attempts": 3}}, "retry.max_attempts", "by failure class"),
    ],
)
def test_tables_have_words_of_their_own(fields, field, hint):
    assert hint in dict(problems(**fields))[field]


def test_no_word_hides_a_field():
    """A word that is also a field of its table could never be reached, or would refuse the field."""
    assert not {plain_word(name) for name in job_fields()} & set(JOB_WORDS)
    assert not {"pool", "count"} & set(POOL_WORDS)
    assert not {"runatmost", "waitatmost", "finishby"} & set(CLOCK_WORDS)
    assert not {"regex", "goal"} & set(METRIC_WORDS)
    for words in (JOB_WORDS, POOL_WORDS, CLOCK_WORDS, RETRY_WORDS, METRIC_WORDS):
        assert all(word == plain_word(word) for word in words)


def test_the_fields_are_those_that_are_read():
    fields = job_fields(["service"])
    assert {"script", "pool", "pools", "sweep", "service", "volume_gb"} <= fields
    (text,) = [text for _, text in problems(zzzzzzzz=1)]
    assert text == "unknown field; known: " + ", ".join(sorted(fields))

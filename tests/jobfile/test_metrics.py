from __future__ import annotations

import pytest

from jobcore import InvalidJob, parse_job
from jobcore.jobfile import metric_goals, metric_regexes
from jobcore.metrics import Goal


def spec_of(metrics):
    return parse_job({"script": "train.py", "metrics": metrics}, owner="ada")


def test_a_text_is_the_regular_expression():
    short = spec_of({"loss": "loss=([0-9.]+)"})
    assert short == spec_of({"loss": {"regex": "loss=([0-9.]+)"}})
    assert metric_regexes(short.args) == {"loss": "loss=([0-9.]+)"}
    assert metric_goals(short) == {}


def test_a_goal_may_be_of_a_metric_that_a_file_has():
    spec = spec_of({"loss": {"goal": "minimize"}, "acc": {"regex": "(.)", "goal": "maximize"}})
    assert metric_goals(spec) == {"loss": Goal.MINIMIZE, "acc": Goal.MAXIMIZE}
    assert metric_regexes(spec.args) == {"acc": "(.)"}


def test_a_job_without_metrics_has_no_argument_of_that_name():
    assert "metrics" not in spec_of({}).args
    assert metric_goals(spec_of({})) == metric_regexes({}) == {}


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ({"loss": "loss=[0-9.]+"}, "metrics.loss.regex: expected one group in parentheses"),
        ({"loss": "(a)(b)"}, "metrics.loss.regex: expected one group in parentheses .* got 2; "),
        ({"loss": "loss=([0-9"}, "metrics.loss.regex: not a regular expression: "),
        ({"loss": "(" * 900 + ")" * 900}, "metrics.loss.regex: expected at most 1000 characters"),
        ({"loss": "(" * 400 + ")" * 400}, "metrics.loss.regex: "),
        ({"loss": {}}, "metrics.loss.regex: missing; give regex, goal or both"),
        ({"loss": {"goal": "min"}}, "metrics.loss.goal: expected minimize or maximize, got a str"),
        ({"loss": {"regex": 3}}, "metrics.loss.regex: expected a string, got 3"),
        ({"loss": {"regexp": "(.)"}}, "metrics.loss.regexp: unknown field; the field is called r"),
        ({"loss": 3}, "metrics.loss: expected a regular expression or a table, got 3"),
        ({"": "(.)"}, "metrics.: expected the name of a metric, got nothing"),
        ({"a\nb": "(.)"}, r"metrics.a\\nb: expected printable characters only"),
        ({"x" * 101: "(.)"}, "metrics.x{40}: expected at most 100 characters"),
        ([1], "metrics: expected a table, got a list"),
        ({f"m{n}": "(.)" for n in range(101)}, "metrics: expected at most 100 metrics, got 101"),
    ],
)
def test_a_wrong_one_is_named(metrics, problem):
    with pytest.raises(InvalidJob, match=problem):
        spec_of(metrics)


def test_metric_definitions_of_other_tools_are_understood():
    document = {"script": "a.py", "metric_definitions": [{"Name": "loss", "Regex": "(.)"}]}
    with pytest.raises(InvalidJob, match="the field is called metrics, a table of regular"):
        parse_job(document, owner="ada")

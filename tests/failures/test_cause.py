"""What two failures have in common: class, rule, and the text without its varying parts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_strategies import make_failure
from jobcore import FailureClass
from jobcore.failures import cause_of
from jobcore.lifecycle import Retryable

BUG = make_failure(FailureClass.ALGORITHM, Retryable.NO, "KeyError: 'lr' at step 3")


def cause(text, **more):
    return cause_of(replace(BUG, text=text, **more))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at step 3", "at step 41"),
        ("at 0x7fA", "at 0x1"),
        ("in /a/b.py", "in /c.py"),
        ("key 'a'", "key 'bc'"),
        ('key "a"', 'key "bc"'),
        ("x  y", "x y"),
    ],
)
def test_what_varies_does_not_make_another_cause(one, other):
    assert cause(one) == cause(other) != cause(one + " or so")


def test_class_and_rule_make_another_cause():
    assert len(cause("x")) == len(cause("\ud800")) == 12
    kinds = {cause("x"), cause("x", rule="z"), cause("x", failure_class=FailureClass.OOM)}
    assert len(kinds) == 3

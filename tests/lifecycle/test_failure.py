"""Classified failures: one line of them, and whether a request fits its quota."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_strategies import make_failure
from jobcore.lifecycle import Quota


@pytest.mark.parametrize(
    ("text", "headline"),
    [
        ("", ""),
        ("short", "short"),
        (" two\n\t lines ", "two lines"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("a " * 150, ("a " * 150)[:199] + "…"),
    ],
)
def test_a_headline_is_one_line_of_at_most_200_characters(text, headline):
    failure = replace(make_failure(), text=text)
    assert failure.headline == headline
    assert failure.text == text


@pytest.mark.parametrize(
    ("requested", "limit", "used", "fits"),
    [(1, 1, 0, True), (4, 4, 9, True), (5, 4, 0, False), (1, 0, 0, False)],
)
def test_a_request_fits_once_the_quota_is_free_unless_it_is_larger(requested, limit, used, fits):
    quota = Quota(name="q", limit=limit, used=used, requested=requested)
    assert quota.can_ever_fit is fits

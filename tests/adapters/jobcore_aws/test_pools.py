"""Names of a deployment that stand for several pools."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobcore import Placement, Spec, parse_job
from jobcore.errors import InvalidSetting
from jobcore_aws import AwsSettings, check, resolve_pools, settings_from

POOLS = {"ml.m5.large": 2, "us-east-1/ml.m5.large/spot": 4}


def named(**names: Any) -> AwsSettings:
    return settings_from({}, config={"pools": POOLS, "pool_names": names})


def job(*pools: Any) -> Spec:
    return parse_job({"script": "a.py", "pools": list(pools)}, owner="ada")


def test_a_name_stands_for_pools_in_order() -> None:
    names = named(cpu=["us-east-1/ml.m5.large/spot", "ml.m5.large"]).sagemaker.pool_names
    spec = resolve_pools(job({"pool": "cpu", "count": 2}, "ml.m5.large"), names)
    assert spec.placements == (
        Placement("us-east-1/ml.m5.large/spot", 2),
        Placement("ml.m5.large", 2),
    )
    plain = job("ml.m5.large")
    assert resolve_pools(plain, names) is plain


def test_an_unknown_pool_is_refused_with_pools_and_names() -> None:
    found = check(resolve_pools(job("tpu"), {}), named(cpu=["ml.m5.large"]))
    assert "there are: cpu, ml.m5.large, us-east-1/ml.m5.large/spot" in str(found[0])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"cpu": ["ml.c5.large"]}, "pool_names.cpu: there is no pool 'ml.c5.large' in pools"),
        ({"ml.m5.large": ["ml.m5.large"]}, "is the name of a pool; choose another one"),
        ({"c p u": ["ml.m5.large"]}, "expected a pool's name, such as cpu"),
        ({"cpu": ["ml.m5.large"] * 2}, "pool_names.cpu: the same pool is there twice"),
        ({"cpu": []}, "pool_names.cpu: expected 1 to 5 pools"),
        ({"cpu": "ml.m5.large"}, "pool_names.cpu"),
    ],
)
def test_names_that_cannot_be_used_are_refused(names: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSetting, match=re.escape(words)):
        named(**names)


def test_a_limit_of_a_name_would_limit_nothing() -> None:
    config = {
        "pools": POOLS,
        "pool_names": {"cpu": ["ml.m5.large"]},
        "limits": {"pools": {"cpu": 2}},
    }
    with pytest.raises(InvalidSetting, match=r"limits\.pools\.cpu: is a name of several pools"):
        settings_from({}, config=config)

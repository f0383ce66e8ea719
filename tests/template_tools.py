"""The deployment template, read and resolved without AWS: what CloudFormation would make of it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parents[1] / "deploy" / "template.yaml"
ACCOUNT, REGION, STACK = "123456789012", "us-east-1", "jc"
_NOTHING = object()


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (!Ref, !Sub ...) as the long ones."""


def _short(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short)


@cache
def text() -> str:
    return TEMPLATE.read_text("utf-8")


@cache
def raw() -> dict[str, Any]:
    return yaml.load(text(), Loader=_Loader)


_ARNS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:{r}:{a}:table/{n}",
    "AWS::Lambda::Function": "arn:aws:lambda:{r}:{a}:function:{n}",
    "AWS::IAM::Role": "arn:aws:iam::{a}:role/{n}",
    "AWS::SQS::Queue": "arn:aws:sqs:{r}:{a}:{n}",
    "AWS::S3::Bucket": "arn:aws:s3:::{n}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{r}:{a}:log-group:{n}:*",
    "AWS::Events::Rule": "arn:aws:events:{r}:{a}:rule/{n}",
    "AWS::SNS::Topic": "arn:aws:sns:{r}:{a}:{n}",
}
_NAMES = {"AWS::Lambda::Function": "FunctionName", "AWS::Logs::LogGroup": "LogGroupName"}


class Rendered:
    """The template with parameters put in, conditions decided, functions worked out."""

    def __init__(self, **parameters: str) -> None:
        self.parameters = {
            name: parameters.get(name, definition.get("Default"))
            for name, definition in raw()["Parameters"].items()
        }
        unknown = set(parameters) - set(self.parameters)
        assert not unknown, f"the template has no parameter {unknown}"
        missing = [name for name, value in self.parameters.items() if value is None]
        assert not missing, f"no value for {missing}"
        self.pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::StackName": STACK,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": _NOTHING,
        }
        self.resources: dict[str, dict[str, Any]] = {
            name: self._resolve({k: v for k, v in resource.items() if k != "Condition"})
            for name, resource in raw()["Resources"].items()
            if "Condition" not in resource or self._condition(resource["Condition"])
        }

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        return {n: r["Properties"] for n, r in self.resources.items() if r["Type"] == kind}

    def properties(self, name: str) -> dict[str, Any]:
        return self.resources[name]["Properties"]

    def arn(self, name: str) -> str:
        return self._arn(name)

    def statements(self, role: str) -> list[dict[str, Any]]:
        policies = self.properties(role).get("Policies", [])
        return [s for p in policies for s in p["PolicyDocument"]["Statement"]]

    # --- CloudFormation's functions ---------------------------------------------------

    def _condition(self, name: str) -> bool:
        return bool(self._resolve(raw()["Conditions"][name]))

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [r for v in value if (r := self._resolve(v)) is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, inner),) = value.items()
            if key == "Ref":
                return self._ref(inner)
            if key == "Condition" and isinstance(inner, str):
                return self._condition(inner)
            if key.startswith("Fn::"):
                return self._function(key[4:], inner)
        resolved = {k: self._resolve(v) for k, v in value.items()}
        return {k: v for k, v in resolved.items() if v is not _NOTHING}

    def _function(self, name: str, inner: Any) -> Any:
        match name:
            case "If":
                condition, yes, no = inner
                return self._resolve(yes if self._condition(condition) else no)
            case "Equals":
                one, other = map(self._resolve, inner)
                return str(one) == str(other)
            case "Not":
                return not self._resolve(inner[0])
            case "Or":
                return any(map(self._resolve, inner))
            case "And":
                return all(map(self._resolve, inner))
            case "Join":
                return inner[0].join(self._resolve(inner[1]))
            case "GetAtt":
                name, attribute = inner
                return self._attribute(name, attribute)
            case "Sub":
                return re.sub(r"\$\{([^}]+)\}", self._substituted, inner)
        raise AssertionError(f"Fn::{name} is not known here")

    def _substituted(self, match: re.Match[str]) -> str:
        name = match[1]
        if "." in name and not name.startswith("AWS::"):
            return str(self._attribute(*name.split(".", 1)))
        return str(self._ref(name))

    def _ref(self, name: str) -> Any:
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            value = self.parameters[name]
            is_list = raw()["Parameters"][name]["Type"] == "CommaDelimitedList"
            return [v for v in str(value).split(",") if v] if is_list else value
        kind = raw()["Resources"][name]["Type"]
        return self._arn(name) if kind == "AWS::SNS::Topic" else self._name(name)

    def _name(self, name: str) -> str:
        resource = raw()["Resources"][name]
        given = resource["Properties"].get(_NAMES.get(resource["Type"], ""))
        return str(self._resolve(given)) if given else f"{STACK}-{name}"

    def _arn(self, name: str) -> str:
        kind = raw()["Resources"][name]["Type"]
        return _ARNS[kind].format(a=ACCOUNT, r=REGION, n=self._name(name))

    def _attribute(self, name: str, attribute: str) -> str:
        match attribute:
            case "Arn":
                return self._arn(name)
            case "StreamArn":
                return f"{self._arn(name)}/stream/2026-01-01T00:00:00.000"
            case "QueueName":
                return self._name(name)
        raise AssertionError(f"{name}.{attribute} is not known here")


ROLE_ARNS = f"arn:aws:iam::{ACCOUNT}:role/train-small,arn:aws:iam::{ACCOUNT}:role/train-large"


def render(**parameters: str) -> Rendered:
    """Resolve the template as `jobcore deploy` with a zip file would have it."""
    return Rendered(
        **{
            "TrainingRoleArns": ROLE_ARNS,
            "CodeBucket": "code-bucket",
            "CodeKey": "code.zip",
            "InstanceTypes": "ml.m5.*,ml.g5.xlarge",
            "MaxRuntimeSeconds": "86400",
        }
        | parameters
    )

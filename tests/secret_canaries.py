"""Secrets that nobody else has: planted in a job, and looked for in everything that comes out."""

from __future__ import annotations

import itertools
import re
from typing import Any

MARK = re.compile(r"CNRY[0-9]{4}", re.IGNORECASE)

_NAMES = (
    "password",
    "api_key",
    "hf_token",
    "client_secret",
    "dbPassword",
    "private_key",
    "passphrase",
)
# Texts under names that say nothing: the form tells. {} is 8 characters, the mark and its number.
_FORMS = (
    "AKIA{}ABCDEFGH", "ghp_{}abcdefghijklmnop", "hf_{}abcdefghijklmnop", "sk-{}abcdefghijklmnop",
    "xoxb-{}-abcdefgh", "postgres://ada:{}@db/x", "password={}", "x --api-key {} y", "{{\"token\": \"{}\"}}",
    "Bearer {}abcdefgh", "https://h/x?X-Amz-Signature={}&a=1", "{}aB3/+abcdefghijklmnopqrstuvwxyzA",
)  # fmt: skip


class Canaries:
    """Makes jobs full of canaries; each one is made once."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.planted: list[str] = []

    def one(self, form: str = "{}-hunter2") -> str:
        text = form.format(f"CNRY{next(self._numbers):04d}")
        self.planted.append(text)
        return text

    def named(self, count: int) -> dict[str, Any]:
        """Values under names of secrets: texts of any form, and one number."""
        return {f"{_NAMES[n % len(_NAMES)]}_{n}": self.one() for n in range(count)}

    def formed(self) -> dict[str, str]:
        """Values that look like secrets, under names that do not."""
        return {f"setting_{n}": self.one(form) for n, form in enumerate(_FORMS)}

    def hyperparameters(self) -> dict[str, Any]:
        return {**self.named(28), **self.formed(), "nested": {"deep": {"password": self.one()}}}

    def environment(self) -> dict[str, str]:
        values = {**self.named(28), **self.formed()}
        return {name.upper(): value for name, value in values.items()}

    def tags(self) -> dict[str, str]:
        return {f"token_{n}": self.one("{}-tag") for n in range(6)}

    def arguments(self) -> list[str]:
        return ["--db-password", self.one(), f"--hf-token={self.one()}", "--fast"]

    def text(self) -> str:
        """What user code might write as it fails."""
        shown = "; ".join(self.one(form) for form in _FORMS)
        return f'AlgorithmError: ExecuteUserScriptError: ExitCode 1 ErrorMessage "{shown}" password: {self.one()}'


def found_in(text: str) -> list[str]:
    """Name the canaries that a text shows."""
    return MARK.findall(text)

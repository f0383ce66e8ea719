"""
Redaction of secrets in texts and arguments.

Hyperparameters, environments and arguments are passed to the training and stored with the job; they
may contain passwords and tokens. No other output of jobcore shows them: no failure text that quotes
the command line, no message, log line or listing.

A secret is recognised by the name of a value (``api_key``, ``--hf-token``) or by the form of the
value (``AKIA...``, ``ghp_...``, ``https://user:password@``). Neither finds everything: keep a secret in
a secret store, and only its name in the job.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

from jobcore.lifecycle.model import Json, Spec

__all__ = [
    "MASK",
    "TEXT_CHARS_MAX",
    "VALUE_CHARS_MIN",
    "is_secret_name",
    "redact",
    "redact_args",
    "secret_values",
]

#: Replaces a secret.
MASK = "***"
#: The shortest value that counts as a secret.
VALUE_CHARS_MIN = 6  # a shorter value occurs in too many unrelated texts
#: The longest text that is redacted.
TEXT_CHARS_MAX = 8_000  # longer texts are cut, so that the work stays bounded
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset(
    {
        "password", "passwd", "passwort", "pwd", "passphrase", "secret", "secrets", "credential",
        "credentials", "apikey", "authorization", "authtoken", "accesstoken", "cookie",
    }
)  # fmt: skip
_ENDINGS = ("password", "passwd", "passphrase", "apikey")  # PGPASSWORD
# "key" is a secret after one of these words only; otherwise it may be a table's key.
_KEYS = frozenset(
    {"api", "access", "secret", "private", "signing", "encryption", "auth", "account", "master", "ssh", "client"}
)  # fmt: skip
# "token" after one of these words is a tokenizer's, not a credential.
_TOKENS = frozenset(
    {"bos", "eos", "pad", "unk", "mask", "sep", "cls", "start", "end", "special", "next", "image", "prefix", "per"}
)  # fmt: skip
# A name with one of these endings gives the place or the length of a secret, not the secret.
_ABOUT = frozenset(
    {"name", "arn", "path", "file", "dir", "uri", "length", "len", "size", "type", "count", "ttl", "version"}
)  # fmt: skip
_VALUE = r"""(?:"[^"\n]*"|'[^'\n]*'|[^\s"',;&)\]}>]+)"""
_NAMED = re.compile(
    r"(?<![\w.-])(?P<name>-{0,2}[A-Za-z_][\w.-]*)"
    r"(?P<between>[\"']?\s{0,3}(?:=>|[=:])\s{0,3}|[\"']\s{0,3},\s{0,3}(?=[\"'])|\s{1,3})"
    rf"(?P<value>{_VALUE})"
)
_FORMS = re.compile(
    r"\b(?:AKIA|ASIA)(?:[A-Z0-9]{16}\b|[A-Z0-9]{4,15}\Z)"
    r"|\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{16,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{16,}|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bAIza[\w-]{30,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    r"|(?<=://)[^/\s:@]{1,100}:[^/\s@]{1,200}(?=@)"
    r"|(?i:\b(?:bearer|basic)\s{1,3}[A-Za-z0-9._~+/=-]{8,})"
    r"|(?i:\bx-amz-(?:signature|security-token|credential)=[^&\s\"']+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    # An AWS secret key is 40 characters of base 64; a digest of 40 has no upper case.
    r"|(?<![A-Za-z0-9/+=_.-])(?=[A-Za-z0-9/+]*[a-z])(?=[A-Za-z0-9/+]*[A-Z])(?=[A-Za-z0-9/+]*[0-9])"
    r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_.-])"
)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Check whether a value called *name* is a secret: ``DB_PASSWORD``, ``apiKey``, ``--hf-token``."""
    words = [word.lower() for word in _WORDS.findall(name[:200])]
    while words and words[-1].isdigit():  # token_2
        words.pop()
    if not words or words[-1] in _ABOUT:
        return False
    if any(word in _SECRET_WORDS or word.endswith(_ENDINGS) for word in words):
        return True
    before = words[-2] if len(words) > 1 else ""
    if words[-1] == "token":
        return before not in _TOKENS
    return words[-1] in ("key", "keys") and before in _KEYS


def redact(text: str, values: Collection[str] = ()) -> str:
    """
    Replace everything in *text* that looks like a secret by ``***``.

    Args:
        values: known secrets (see `secret_values`). They are replaced wherever they occur, also at
            the end of a text that was cut in the middle of one.
    """
    text = text[:TEXT_CHARS_MAX]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
        for length in range(len(value) - 1, VALUE_CHARS_MIN - 1, -1):
            if text.endswith(value[:length]):
                text = text[:-length] + MASK
                break
    text = _FORMS.sub(MASK, text)
    kept: list[str] = []
    at = 0
    while match := _NAMED.search(text, at):
        begin = match.start("value")
        kept.append(text[at:begin])
        at = begin  # the value may itself be a name with a value
        if _gives_a_secret(match):
            kept.append(MASK)
            at = match.end()
    return "".join(kept) + text[at:]


def _gives_a_secret(match: re.Match[str]) -> bool:
    # Without "=" or ":" between them, only a command's flag has a value: "--token abc".
    is_given = match["between"].strip() or match["name"].startswith("-")
    return bool(is_given) and is_secret_name(match["name"]) and not match["value"].startswith("-")


def redact_args(args: Mapping[str, Json]) -> dict[str, Json]:
    """
    Redact a job's arguments for display.

    Of the environment only the names are shown. Elsewhere a value with a secret's name, or one that
    looks like a secret, becomes ``***``. Lists are read as command lines: ``["--token", "abc"]``.
    """
    shown = {name: _shown(name, value) for name, value in args.items()}
    environment = shown.get("environment")
    if isinstance(environment, dict):
        shown["environment"] = dict.fromkeys(environment, MASK)
    return shown


def _shown(name: str, value: Json) -> Json:
    match value:
        case dict():
            return {key: _shown(key, item) for key, item in value.items()}
        case list():
            flags = ["", *map(_flag, value)]
            return [_shown(flag or name, item) for flag, item in zip(flags, value, strict=False)]
        case None | bool():
            return value
        case _ if is_secret_name(name) and not (isinstance(value, str) and value.startswith("-")):
            return MASK
        case str():
            return redact(value)
        case _:
            return value


def _flag(word: object) -> str:
    """Return *word* if it is a flag whose value is the next word of a command line; else ""."""
    return word if isinstance(word, str) and word.startswith("-") and "=" not in word else ""


def secret_values(spec: Spec) -> tuple[str, ...]:
    """List the values of a job that are secrets, so that texts that quote them can be redacted."""
    found = dict.fromkeys(_secrets("", dict(spec.args)))
    found |= dict.fromkeys(_secrets("", dict(spec.tags)))
    return tuple(text for text in found if len(text) >= VALUE_CHARS_MIN)


def _secrets(name: str, value: object) -> Iterator[str]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _secrets(str(key), item)
        case list():
            flag = ""
            for item in value:
                yield from _secrets(flag or name, item)
                flag = _flag(item)
        case None | bool():
            return
        case str():
            if is_secret_name(name):
                yield value
                yield json.dumps(value)[1:-1]  # with the escapes of a quoted text
            else:
                yield from (match[0] for match in _FORMS.finditer(value[:TEXT_CHARS_MAX]))
                yield from (
                    match["value"].strip("\"'")
                    for match in _NAMED.finditer(value[:TEXT_CHARS_MAX])
                    if _gives_a_secret(match)
                )
        case _ if is_secret_name(name):
            yield str(value)

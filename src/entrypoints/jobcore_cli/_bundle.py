"""The zip file of the Lambda functions (the same bytes for the same sources), and the template.

It is made of the installed packages, so that the functions run the release that deploys them. It
holds pure Python only, so that it runs on x86_64 and on arm64.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import marshal
import struct
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import CodeType

from ._errors import CONFLICT, CliError
from ._rules import RULES_FILE

__all__ = ["RUNTIMES", "build_zip", "content_key", "find_template", "runtime_here"]

RUNTIMES = ("python3.11", "python3.12", "python3.13", "python3.14")
PACKAGES = (
    "jobcore",
    "jobcore_aws",
    "jobcore_config",
    "jobcore_contract",
    "jobcore_lambda",
    "attr",
    "attrs",
    "aws_lambda_powertools",
    "cattrs",
    "jmespath",
    "typing_extensions",
)
# Lambda's Python includes the AWS SDK, in a version that AWS chooses.
SDK = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six")
# The models of botocore that the functions use: 1 MB of 25.
SDK_MODELS = ("dynamodb", "lambda", "s3", "sagemaker", "sns", "sts")
ZIP_BYTES_MAX = 50_000_000  # Lambda's limit for an upload

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the earliest time of the zip format


def runtime_here() -> str:
    """Return the name of this Python in Lambda, or Lambda's newest if Lambda does not have it."""
    here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return here if here in RUNTIMES else RUNTIMES[-1]


def find_template() -> str:
    """
    Read the CloudFormation template, of an installed release or of the source tree.

    Raises:
        CliError: it is in neither place.
    """
    spec = find_spec("jobcore_lambda")  # an import would need the functions' libraries
    if spec is None or spec.origin is None:
        msg = "the functions are not part of this installation; install jobcore-scheduler anew"
        raise CliError(msg, CONFLICT)
    package = Path(spec.origin).parent
    for place in (package / "deploy", package.parents[2] / "deploy"):
        if (place / "template.yaml").is_file():
            return (place / "template.yaml").read_text("utf-8")
    msg = "the deployment template is not part of this installation; install jobcore-scheduler anew"
    raise CliError(msg, CONFLICT)


def build_zip(runtime: str, *, pin_sdk: bool = False, rules: bytes | None = None) -> bytes:
    """
    Make the functions' zip file. It is independent of file times, directory order and user.

    Args:
        runtime: Lambda's Python. If it is this one, the file includes compiled modules: a function
            cannot store compiled modules, so it would compile at each cold start.
        pin_sdk: include this environment's boto3, to be used instead of Lambda's.
        rules: the user's own file of failure rules.

    Raises:
        CliError: a package is not installed, or the file is larger than Lambda accepts.
    """
    compiled = runtime == f"python{sys.version_info.major}.{sys.version_info.minor}"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(_files((*PACKAGES, *SDK) if pin_sdk else PACKAGES)):
            _add(archive, name, content)
            if compiled and name.endswith(".py"):
                with contextlib.suppress(
                    ValueError
                ):  # a constant that marshal's version 2 cannot write
                    _add(archive, _cached(name), _compile(name, content))
        if rules is not None:
            _add(archive, RULES_FILE, rules)
    data = out.getvalue()
    if len(data) > ZIP_BYTES_MAX:
        msg = (
            f"the functions' zip file has {len(data):,} bytes, more than Lambda takes; use --image"
        )
        raise CliError(msg, CONFLICT)
    return data


def content_key(data: bytes) -> str:
    """Return a name for content by its hash, so that the same code is the same object in S3."""
    return hashlib.sha256(data).hexdigest()[:32]


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _EARLIEST)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix on every platform, so that the file mode is used
    info.external_attr = 0o100644 << 16
    archive.writestr(info, content)


def _files(packages: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            msg = f"{package} is not installed; pip install 'jobcore-scheduler[lambda]'"
            raise CliError(msg, CONFLICT)
        origin = Path(spec.origin)
        if origin.name != "__init__.py":
            yield origin.name, origin.read_bytes()
            continue
        root = origin.parent
        for path in root.rglob("*"):
            relative = path.relative_to(root)
            if path.is_file() and _is_included(package, relative):
                yield f"{package}/{relative.as_posix()}", path.read_bytes()


def _is_included(package: str, path: Path) -> bool:
    if "__pycache__" in path.parts:
        return False
    if path.suffix == ".py" or (package.startswith("jobcore") and path.suffix == ".toml"):
        return True
    if package == "botocore" and path.parts[0] == "data":
        return len(path.parts) == 2 or path.parts[1] in SDK_MODELS
    return package in SDK and path.suffix in (".pem", ".json")


# --- compiled modules -------------------------------------------------------------------


def _cached(name: str) -> str:
    folder, _, module = name.rpartition("/")
    tag = sys.implementation.cache_tag
    return f"{folder + '/' if folder else ''}__pycache__/{module[:-3]}.{tag}.pyc"


def _compile(name: str, source: bytes) -> bytes:
    """
    Compile a module into the bytes of a .pyc that is never compared with its source (PEP 552).

    marshal's version 2 has no references between objects. With references the bytes would depend on
    the reference counts of objects in this process.
    """
    code: CodeType = compile(source, f"/var/task/{name}", "exec", dont_inherit=True)
    unchecked_hash = struct.pack("<I", 1)
    source_hash = importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + unchecked_hash + source_hash + marshal.dumps(code, 2)

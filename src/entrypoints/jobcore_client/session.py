"""Settings and adapters of a client or of one call of the command, made on first use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import variables
from .errors import Refused, RequestError

if TYPE_CHECKING:
    import jobcore
    from jobcore.errors import Problem
    from jobcore_aws import AwsSettings
    from jobcore_local import LocalTrainer
    from jobcore_sqlite import SqliteStore

    from .config import CliConfig

_RESERVE_BYTES = 1 << 20  # for the records of about a hundred stops and ends on a full disk
# The kinds of the fields of a valid config.toml. Any other file is read with cattrs, for its errors.
_PLAIN: Mapping[str, type] = {"home": str, "owner": str, "backend": str, "rules": str}
_LATER: Mapping[str, type] = {"desktop": bool, "launch_lease": object, "limits": dict, "aws": dict}


class Session:
    """
    Settings by argument, then environment, then file, then default.

    Files: ``~/.config/jobcore/config.toml`` and, over it, ``<home>/config.toml``. Nothing is printed:
    an entry point overrides `say`, `show` and `warn`.

    Attributes:
        home: the folder of store, trainings and messages; None for the one of the environment.
        owner: the caller's name as an owner of jobs; None for the one of the environment.
        backend: "local" or "aws"; None for the one of the environment.
        on_trouble: called with a job id (or "") and the text of a trouble; the manager's log.
    """

    home: str | None = None
    owner: str | None = None
    backend: str | None = None
    on_trouble: Callable[[str, str], None] | None = None

    # --- what is told meanwhile -----------------------------------------------------

    def say(self, line: str) -> None:
        """Take a line about what is being done; this one drops it."""

    def show(self, line: str) -> None:
        """Take a line that replaces the one shown before, "" to take that away; this one drops it."""

    def warn(self, line: str) -> None:
        """Take a warning; this one issues a Python warning."""
        import warnings

        warnings.warn(f"jobcore: {line}", stacklevel=2)

    # --- settings -------------------------------------------------------------------

    @cached_property
    def user_config(self) -> Mapping[str, Any]:
        """The user's own file, decoded."""
        return _read_config(self._user_file)

    @property
    def _user_file(self) -> Path:
        root = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
        return Path(root) / "jobcore" / "config.toml"

    @cached_property
    def home_config(self) -> Mapping[str, Any]:
        """The file in the home, decoded."""
        return _read_config(self.home_path / "config.toml")

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """
        Both files together, decoded; the home's file overrides the user's.

        Only the values of its text fields are final; `settings` has the others.
        """
        return {**self.user_config, **self.home_config}

    @cached_property
    def settings(self) -> CliConfig:
        """Both files together, read in full."""
        from .config import read_files

        home_file = self.home_path / "config.toml"
        return read_files([(self._user_file, self.user_config), (home_file, self.home_config)])

    @cached_property
    def home_path(self) -> Path:
        """The folder of store, trainings and messages."""
        chosen = self.home or variables.HOME.value() or self.user_config.get("home")
        if chosen is None:
            import platformdirs

            chosen = platformdirs.user_data_dir("jobcore")
        return Path(str(chosen)).expanduser().absolute()

    @cached_property
    def is_aws(self) -> bool:
        """Whether the backend is AWS, and not this machine."""
        chosen = self.backend or variables.BACKEND.value() or self.config.get("backend")
        if chosen not in (None, "local", "aws"):
            msg = f"backend: expected local or aws, got {chosen!r}"
            raise RequestError(msg)
        return chosen == "aws"

    @cached_property
    def aws(self) -> AwsSettings:
        """The settings of the deployment on AWS."""
        from .aws import read_settings

        return read_settings(self.config.get("aws", {}), os.environ)

    @cached_property
    def owner_name(self) -> str:
        """The caller's name as an owner of jobs."""
        chosen = self.owner or variables.OWNER.value() or self.config.get("owner")
        if chosen is None:
            import getpass

            chosen = getpass.getuser()
        return str(chosen)

    # --- adapters (the composition root) --------------------------------------------

    @cached_property
    def store(self) -> jobcore.JobStore:
        """The store."""
        if not self.is_aws:
            return self.local_store
        from jobcore_aws import DynamoStore

        return DynamoStore(self.aws.table, bucket=self.aws.bucket, on_corrupt=self._corrupt)

    @cached_property
    def trainer(self) -> jobcore.Trainer:
        """The trainer."""
        if not self.is_aws:
            return self.local_trainer
        from jobcore_aws import SageMakerTrainer

        return SageMakerTrainer(self.aws.sagemaker)

    @cached_property
    def local_store(self) -> SqliteStore:
        """The store of this machine; created if it does not exist."""
        from jobcore_sqlite import SqliteStore

        home = self.home_path
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            msg = f"{home}: {error.strerror}; choose another home (--home or JOBCORE_HOME)"
            raise Refused(msg) from None
        return SqliteStore(
            home / "jobcore.db", reserve_bytes=_RESERVE_BYTES, on_corrupt=self._corrupt
        )

    def _corrupt(self, error: jobcore.CorruptRecord) -> None:
        """Report a record that a store left out of its answer, once each."""
        text = " ".join(str(error).split())
        if self.on_trouble is not None:
            self.on_trouble(error.job_id, f"CorruptRecord: {text}")
        elif text not in self._reported:
            self._reported.add(text)
            self.warn(f"{text}; left out here (see jobcore doctor)")

    @cached_property
    def _reported(self) -> set[str]:
        return set()

    def close(self) -> None:
        """Close the store, if it was opened; when it is needed again, it is opened again."""
        self.__dict__.pop("store", None)
        opened: SqliteStore | None = self.__dict__.pop("local_store", None)
        if opened is not None:
            opened.close()

    def __del__(self) -> None:
        """Close the store that a program has left open; not all use the client in a ``with`` block."""
        with suppress(Exception):  # the program may be ending
            self.close()

    @cached_property
    def local_trainer(self) -> LocalTrainer:
        """The trainer of this machine."""
        from jobcore_local import LocalTrainer

        return LocalTrainer(self.home_path, wake=self.wake_path)

    @property
    def wake_path(self) -> Path:
        """The path of the manager's wake socket; a path of 100 characters or more is too long for a socket."""
        path = self.home_path / "wake.sock"
        if len(os.fspath(path)) < 100:
            return path
        import hashlib
        import tempfile

        name = hashlib.sha256(os.fspath(path).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"jobcore-{os.getuid()}-{name}.sock"

    def poke(self) -> bool:
        """
        Send the manager a hint that jobs have changed; on AWS the table's stream does that.

        Returns:
            False if no manager listens.
        """
        if self.is_aws:
            return True
        from jobcore_local import poke

        return poke(self.wake_path)

    def make_check(self) -> Callable[[jobcore.Spec], Sequence[Problem]]:
        """
        Make the check of a job against what the backend can run; it finds no problem if it can.

        One check is for all jobs of a submission: what they share is looked at once.
        """
        if self.is_aws:
            from jobcore_aws import check

            return partial(check, settings=self.aws, quotas=self._quotas())
        from jobcore_local import Checker, read_pools

        return Checker(read_pools(self.home_path), self.limits)

    def resolve_pools(self, spec: jobcore.Spec) -> jobcore.Spec:
        """Replace names of several pools by the pools; a laptop has none."""
        if not self.is_aws:
            return spec
        from jobcore_aws import resolve_pools

        return resolve_pools(spec, self.aws.sagemaker.pool_names)

    def _quotas(self) -> Mapping[str, int]:
        """Read the quotas that refusals of launches stated lately; none if the store does not answer."""
        import jobcore

        try:
            states = self.store.pools()
        except jobcore.Unavailable:  # the submission itself reports it
            return {}
        return jobcore.scheduling.known_quotas(states, datetime.now(UTC))

    @cached_property
    def limits(self) -> jobcore.Limits:
        """The limits of the planner."""
        return self.aws.limits if self.is_aws else self.settings.limits

    def rules(self, path: str | None = None) -> jobcore.failures.Rules:
        """Return the failure rules: the user's own file, in front of those of the backend."""
        from .rules import default_rules, read_rules

        rules = default_rules(is_aws=self.is_aws)
        chosen = path or self.config.get("rules")
        return rules if chosen is None else read_rules(Path(str(chosen)).expanduser(), rules)

    # --- finding jobs ---------------------------------------------------------------

    def find_by_id(self, word: str, limit: int = 2) -> Sequence[jobcore.Job]:
        """
        Find jobs by an id, or by 4 or more characters of the beginning of one; of any owner.

        Args:
            limit: the largest number of jobs to find.
        """
        import jobcore

        if jobcore.lifecycle.is_job_id(word):
            return list(self.store.get([word]).values())
        if len(word) < 4 or not (word.isascii() and word.isalnum()):
            return []
        query = jobcore.ports.JobQuery(id_prefix=word.lower(), limit=limit)
        return self.store.find(query).jobs

    def find_by_name(self, name: str, owner: str | None, limit: int = 2) -> Sequence[jobcore.Job]:
        """Find the newest jobs of a name, of one owner or of all (None)."""
        import jobcore

        return self.store.find(jobcore.ports.JobQuery(name=name, owner=owner, limit=limit)).jobs

    def pages(self, query: jobcore.ports.JobQuery) -> Iterator[Sequence[jobcore.Job]]:
        """Read the pages of a query, one when it is needed."""
        from dataclasses import replace

        while True:
            page = self.store.find(query)
            yield page.jobs
            if page.cursor is None:
                return
            query = replace(query, cursor=page.cursor)

    def all_jobs(self, query: jobcore.ports.JobQuery) -> list[jobcore.Job]:
        """Read every page of a query."""
        return [job for page in self.pages(query) for job in page]


def _read_config(path: Path) -> Mapping[str, Any]:
    """
    Decode a config.toml, and check the kinds of its fields.

    Raises:
        RequestError: the file cannot be read.
        InvalidSetting: a field is unknown, or of another kind.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise RequestError(msg) from None
    from jobcore_config.checks import parse_toml

    document = parse_toml(content, where=str(path))
    kinds = {**_PLAIN, **_LATER}
    if not all(isinstance(value, kinds.get(name, ())) for name, value in document.items()):
        from .config import read_files

        read_files([(path, document)])
    return document

"""One call of the command: its settings and adapters, made on first use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _variables as variables
from ._errors import CONFLICT, NOT_FOUND, CliError

if TYPE_CHECKING:
    import jobcore
    from jobcore.errors import Problem
    from jobcore_aws import AwsSettings
    from jobcore_local import LocalTrainer
    from jobcore_sqlite import SqliteStore

    from ._config import CliConfig

_CANDIDATES_MAX = 5  # jobs that an ambiguous word's error lists
_RESERVE_BYTES = 1 << 20  # for the records of about a hundred stops and ends on a full disk
# The kinds of the fields of a valid config.toml. Any other file is read with cattrs, for its errors.
_PLAIN: Mapping[str, type] = {"home": str, "owner": str, "backend": str, "rules": str}
_LATER: Mapping[str, type] = {"desktop": bool, "launch_lease": object, "limits": dict, "aws": dict}


class Session:
    """
    Settings by flag, then environment, then file, then default.

    Files: ``~/.config/jobcore/config.toml`` and, over it, ``<home>/config.toml``.
    """

    home: str | None = None
    owner: str | None = None
    backend: str | None = None
    as_json: bool = False
    no_color: bool = False
    #: Called with the job id (or "") and the text of a trouble; the manager's log.
    on_trouble: Callable[[str, str], None] | None = None

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
        from ._config import read_files

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
            raise CliError(msg)
        return chosen == "aws"

    @cached_property
    def aws(self) -> AwsSettings:
        """The settings of the deployment on AWS."""
        from ._aws import read_settings

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
            raise CliError(msg, CONFLICT) from None
        return SqliteStore(
            home / "jobcore.db", reserve_bytes=_RESERVE_BYTES, on_corrupt=self._corrupt
        )

    def _corrupt(self, error: jobcore.CorruptRecord) -> None:
        """Report a record that a store left out of its answer; on standard error, once each."""
        text = " ".join(str(error).split())
        if self.on_trouble is not None:
            self.on_trouble(error.job_id, f"CorruptRecord: {text}")
        elif text not in self._reported:
            self._reported.add(text)
            print(f"jobcore: {text}; left out here (see jobcore doctor)", file=sys.stderr)

    @cached_property
    def _reported(self) -> set[str]:
        return set()

    def close(self) -> None:
        """Close the store, if it was opened; when it is needed again, it is opened again."""
        self.__dict__.pop("store", None)
        opened: SqliteStore | None = self.__dict__.pop("local_store", None)
        if opened is not None:
            opened.close()

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

    @cached_property
    def check(self) -> Callable[[jobcore.Spec], Sequence[Problem]]:
        """
        The check of a job against what the backend can run; it finds no problem if it can.

        One check is for all jobs of a call: what they share is looked at once.
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
        from ._rules import default_rules, read_rules

        rules = default_rules(is_aws=self.is_aws)
        chosen = path or self.config.get("rules")
        return rules if chosen is None else read_rules(Path(str(chosen)).expanduser(), rules)

    # --- finding jobs ---------------------------------------------------------------

    def find_job(self, word: str) -> jobcore.Job:
        """
        Find the one job that *word* means, to show it: an id, 4 or more characters of one, or a name.

        Of a name, the caller's own jobs come first; another owner's are found if the caller has none.

        Raises:
            CliError: there is none, or more than one.
        """
        found = self._find_by_id(word)
        found = found or self._find_by_name(word, self.owner_name) or self._find_by_name(word, None)
        if not found:
            raise _no_job(word)
        return _only(word, found)

    def find_jobs(
        self, words: Sequence[str], group: str | None, owner: str | None
    ) -> list[jobcore.Job]:
        """
        Find the jobs that *words* mean, and those of *group*, to change them or wait for them.

        An id means its job, of any owner. Names and groups are those of one owner only.

        Args:
            owner: the owner of the names and of the group; None for the caller.

        Raises:
            CliError: a job or the group does not exist, or there is nothing to find.
        """
        jobs = []
        named = group is not None  # whether *owner* decides about anything
        for word in words:
            found = self._find_by_id(word)
            if not found:
                named = True
                found = self._find_by_name(word, self.owner_name if owner is None else owner)
            if not found:
                raise self._not_owned(word, self.owner_name if owner is None else owner)
            jobs.append(_only(word, found))
        if owner is not None and not named:
            msg = (
                "--owner: after the command, it is the owner of the --group or of the jobs given by "
                "name; an id needs none. Before the command, it is your own name"
            )
            raise CliError(msg)
        if group is not None:
            jobs += self._group(group, self.owner_name if owner is None else owner)
        if not jobs:
            msg = "name at least one job, or a --group"
            raise CliError(msg)
        return list({job.job_id: job for job in jobs}.values())

    def _find_by_id(self, word: str) -> Sequence[jobcore.Job]:
        """
        Find jobs by an id or the beginning of one.

        Raises:
            CliError: *word* is a whole id, and there is no such job.
        """
        import jobcore

        if jobcore.lifecycle.is_job_id(word):
            if job := self.store.get([word]).get(word):
                return [job]
            msg = f"there is no job {word}; jobcore list -a shows all"
            raise CliError(msg, NOT_FOUND)
        if len(word) < 4 or not (word.isascii() and word.isalnum()):
            return []
        query = jobcore.ports.JobQuery(id_prefix=word.lower(), limit=_CANDIDATES_MAX + 1)
        return self.store.find(query).jobs

    def _find_by_name(self, name: str, owner: str | None) -> Sequence[jobcore.Job]:
        import jobcore

        query = jobcore.ports.JobQuery(name=name, owner=owner, limit=_CANDIDATES_MAX + 1)
        return self.store.find(query).jobs

    def _not_owned(self, name: str, owner: str) -> CliError:
        """Make the error of a name that *owner* has no job of; it names owners who have one."""
        others = sorted({job.spec.owner for job in self._find_by_name(name, None)})
        if not others:
            return _no_job(name)
        msg = (
            f"{owner} has no job named {name!r}; jobs of that name belong to {', '.join(others)}: "
            f"give the job's id, or --owner {others[0]}"
        )
        return CliError(msg, NOT_FOUND)

    def _group(self, group: str, owner: str) -> Sequence[jobcore.Job]:
        """
        Find the jobs of one owner in a group.

        Raises:
            CliError: there are none; the text names owners who have jobs in it.
        """
        import jobcore

        jobs = self.all_jobs(jobcore.ports.JobQuery(group=group, owner=owner, limit=1000))
        if jobs:
            return jobs
        # The newest page of a large group is enough for the error.
        others = self.store.find(jobcore.ports.JobQuery(group=group, limit=1000)).jobs
        owners = sorted({job.spec.owner for job in others})
        if not owners:
            msg = f"there is no group {group!r}; jobcore list -a shows all jobs"
            raise CliError(msg, NOT_FOUND)
        named = ", ".join(owners[:5]) + (" and others" if len(owners) > 5 else "")
        msg = (
            f"group {group!r} has no jobs of {owner}, but some of {named}; "
            f"name the owner: --owner {owners[0]}"
        )
        raise CliError(msg, NOT_FOUND)

    def all_jobs(self, query: jobcore.ports.JobQuery) -> Sequence[jobcore.Job]:
        """Read every page of a query."""
        from dataclasses import replace

        jobs: list[jobcore.Job] = []
        while True:
            page = self.store.find(query)
            jobs += page.jobs
            if page.cursor is None:
                return jobs
            query = replace(query, cursor=page.cursor)


def _no_job(word: str) -> CliError:
    msg = f"there is no job {word!r} (an id, 4 or more characters of one, or a name)"
    return CliError(msg, NOT_FOUND)


def _only(word: str, found: Sequence[jobcore.Job]) -> jobcore.Job:
    """
    Return the only job of *found*, which is not empty.

    Raises:
        CliError: there are several.
    """
    if len(found) == 1:
        return found[0]
    candidates = ", ".join(f"{job.job_id[:12]} {job.spec.name}" for job in found[:_CANDIDATES_MAX])
    msg = f"{word!r} could be any of: {candidates}; give more of the id"
    raise CliError(msg, CONFLICT)


def _read_config(path: Path) -> Mapping[str, Any]:
    """
    Decode a config.toml, and check the kinds of its fields.

    Raises:
        CliError: the file cannot be read.
        InvalidSetting: a field is unknown, or of another kind.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise CliError(msg) from None
    from jobcore_config.checks import parse_toml

    document = parse_toml(content, where=str(path))
    kinds = {**_PLAIN, **_LATER}
    if not all(isinstance(value, kinds.get(name, ())) for name, value in document.items()):
        from ._config import read_files

        read_files([(path, document)])
    return document

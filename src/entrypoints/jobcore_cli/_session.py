"""One call of the command: the client's settings and adapters, with what the command prints meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jobcore_client.session
from jobcore_client.words import plain

from ._errors import CONFLICT, NOT_FOUND, CliError

if TYPE_CHECKING:
    import jobcore

_CANDIDATES_MAX = 5  # jobs that an ambiguous word's error lists


class Session(jobcore_client.session.Session):
    """
    The session of one call of the command: its options, and its lines on standard error.

    Attributes:
        as_json: answer in JSON; then nothing is said meanwhile.
        no_color: use no colours.
    """

    as_json: bool = False
    no_color: bool = False

    def say(self, line: str) -> None:
        """Print a line about what is being done."""
        if not self.as_json:
            self.show("")
            print(plain(line), file=sys.stderr)

    def show(self, line: str) -> None:
        """Show a line over the one before; on a terminal only."""
        if not self.as_json and sys.stderr.isatty():
            from ._render import clip, width

            print(f"\r\x1b[K{clip(plain(line), width() - 1)}", end="", file=sys.stderr, flush=True)

    def warn(self, line: str) -> None:
        """Print a warning."""
        print(f"jobcore: {line}", file=sys.stderr)

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
        self,
        words: Sequence[str],
        group: str | None,
        owner: str | None,
        statuses: frozenset[jobcore.Status] = frozenset(),
    ) -> list[jobcore.Job]:
        """
        Find the jobs that *words* mean, and those of *group*, to change them or wait for them.

        An id means its job, of any owner. Names and groups are those of one owner only.

        Args:
            owner: the owner of the names and of the group; None for the caller.
            statuses: of the group, read only jobs with one of these; empty for all.

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
            jobs += self._group(group, self.owner_name if owner is None else owner, statuses)
        if not jobs and group is None:
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

        found = self.find_by_id(word, _CANDIDATES_MAX + 1)
        if not found and jobcore.lifecycle.is_job_id(word):
            msg = f"there is no job {word}; jobcore list -a shows all"
            raise CliError(msg, NOT_FOUND)
        return found

    def _find_by_name(self, name: str, owner: str | None) -> Sequence[jobcore.Job]:
        return self.find_by_name(name, owner, _CANDIDATES_MAX + 1)

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

    def _group(
        self, group: str, owner: str, statuses: frozenset[jobcore.Status]
    ) -> Sequence[jobcore.Job]:
        import jobcore

        self.check_group(group, owner)
        query = jobcore.ports.JobQuery(group=group, owner=owner, statuses=statuses, limit=1000)
        return self.all_jobs(query)

    def check_group(self, group: str, owner: str) -> None:
        """
        Check that an owner has jobs in a group.

        Raises:
            CliError: there are none; the text names owners who have jobs in it.
        """
        import jobcore

        if any(self.store.counts(group=group, owner=owner).values()):
            return
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

"""The API reference: every public name has a docstring and a place on a page."""

from __future__ import annotations

import sys
import textwrap

import pytest

from docs_tools import load

reference = load("make_reference")


@pytest.fixture(scope="module")
def known():
    return reference.packages()


def test_every_public_name_has_a_docstring_that_fits_its_signature(known) -> None:
    assert reference.problems(known, reference.Docstrings()) == []


def test_the_pages_are_as_the_packages_are(known) -> None:
    pages = {file.name: file.read_text("utf-8") for file in reference.TARGET.glob("*.md")}
    assert pages == reference.render(known, reference.Docstrings())


def test_every_public_name_has_its_place_on_a_page(known) -> None:
    for package in known:
        page = (reference.TARGET / f"{package.path}.md").read_text("utf-8")
        for name in package.exports:
            home = reference.home_of(name, package, known)
            entry = f"        - {name}\n" if home == package.path else f"({home}.md#{home}.{name})"
            assert entry in page, f"{package.path}.{name}"


def test_the_packages_that_people_build_on_are_there(known) -> None:
    found = {package.path for package in known}
    adapters = {"jobcore_aws", "jobcore_local", "jobcore_memory", "jobcore_sqlite"}
    assert {"jobcore", "jobcore_conformance", *adapters} <= found


ROOMS = {
    "roomy/__init__.py": '''
        """A package with rooms."""
        from roomy.life import Job, step
        from roomy.life import LIMIT
        __all__ = ["LIMIT", "Job", "step", "here"]
        def here() -> None:
            """Is defined in the package itself."""
    ''',
    "roomy/life/__init__.py": '''
        """The life of a job."""
        from roomy.life.model import LIMIT, Job, step
        from roomy.life.tell import more, tell
        __all__ = ["LIMIT", "Job", "more", "step", "tell"]
    ''',
    "roomy/life/tell.py": '''
        """Holds a function of its own name."""
        __all__ = ["more", "tell"]
        def tell() -> None:
            """Tell."""
        def more() -> None:
            """Tell more."""
    ''',
    "roomy/life/model.py": '''
        """Is passed on by its room, and has no page."""
        __all__ = ["LIMIT", "Job", "step"]
        #: The most jobs.
        LIMIT = 3
        class Job:
            """A job."""
        def step(job: Job, first: int, second: int) -> Job:
            """
            Do a step.

            Args:
                first, second: two numbers
                    that are explained together.
            """
    ''',
    "roomy/ports.py": '''
        """The ports."""
        __all__ = ["Store"]
        class Store:
            """A store."""
    ''',
    "roomy/_inner.py": '''
        """Is private."""
        __all__ = ["Inner"]
        class Inner: ...
    ''',
    "roomy/plain.py": '''
        """Exports nothing."""
    ''',
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "SOURCES", [tmp_path])
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "roomy"]:
        del sys.modules[name]


def test_rooms_have_pages_and_the_package_lists_their_names(write) -> None:
    write(ROOMS)
    known = reference.packages()
    assert [package.path for package in known] == ["roomy", "roomy.life", "roomy.ports"]
    docstrings = reference.Docstrings()
    pages = reference.render(known, docstrings)
    assert reference.problems(known, docstrings) == []
    assert "        - here\n" in pages["roomy.md"]
    assert "        - Job\n" not in pages["roomy.md"]
    assert "| [`Job`](roomy.life.md#roomy.life.Job) | A job. |" in pages["roomy.md"]
    assert "| [`LIMIT`](roomy.life.md#roomy.life.LIMIT) | The most jobs. |" in pages["roomy.md"]
    assert "        - step\n" in pages["roomy.life.md"]
    assert (docstrings.of("roomy.life.tell"), docstrings.of("roomy.life.more")) == (
        "Tell.",
        "Tell more.",
    )
    assert "| [`roomy.ports`](roomy.ports.md) | The ports. |" in pages["index.md"]


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ('"""A job."""', "pass", "roomy.life.Job: a public name without a docstring"),
        ("#: The most jobs.", "# The most jobs.", "roomy.life.LIMIT: a public name without a"),
        ("first, second: two", "first, third: two", "'third' does not appear"),
    ],
)
def test_missing_and_wrong_docstrings_are_found(write, was: str, becomes: str, told: str) -> None:
    model = ROOMS["roomy/life/model.py"]
    assert was in model
    write({**ROOMS, "roomy/life/model.py": model.replace(was, becomes)})
    found = reference.problems(reference.packages(), reference.Docstrings())
    assert any(told in problem for problem in found), found

"""The entry points that are refused, and what is proposed instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobcore_contract import BadInput, check_code


@pytest.mark.parametrize(
    ("script", "proposed"),
    [
        ("pack/examples/tree.py", 'name it as a module, script = "pack.examples.tree", or set'),
        ("pack/examples/tree", 'script = "pack.examples.tree"'),
        ("my-pack/tree.py", "name a module of the package, or set source_dir"),  # no module's name
    ],
)
def test_a_script_in_a_subfolder_of_a_package_is_named_as_a_module(
    tmp_path: Path, script: str, proposed: str
) -> None:
    (tmp_path / script).parent.mkdir(parents=True)
    (tmp_path / script).write_text("")
    check_code(str(tmp_path), "any.py")
    (tmp_path / "setup.py").write_text("")
    with pytest.raises(BadInput, match="is in a subfolder of a package") as refused:
        check_code(str(tmp_path), script)
    assert proposed in str(refused.value)
    check_code(str(tmp_path), "pack.examples.tree")

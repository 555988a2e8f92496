"""The contract `only` of the import rules refuses what it does not name."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_import_rules_hold_and_can_be_broken(tmp_path: Path) -> None:
    """A package like ours, with one import too many in its kernel, is refused, naming the line."""
    package = tmp_path / "ringfence"
    (package / "kernel").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "config.py").touch()
    (package / "kernel" / "__init__.py").touch()
    (package / "kernel" / "call.py").write_text("import asyncio\nimport ringfence.config\n")
    (tmp_path / "rules.toml").write_text(
        """
        [tool.importlinter]
        root_package = "ringfence"
        include_external_packages = true
        contract_types = ["only: scripts.import_rules.OnlyContract"]
        [[tool.importlinter.contracts]]
        name = "kernel"
        type = "only"
        source_modules = ["ringfence.kernel"]
        allowed_modules = ["msgspec", "ringfence.kernel"]
        """
    )
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as main; main()",
    ]
    output = subprocess.run(
        [*command, "--config", "rules.toml", "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert output.returncode == 1, output.stdout + output.stderr
    assert "ringfence.kernel.call:2: import ringfence.config" in output.stdout
    assert "import asyncio" not in output.stdout

"""What only looks at a study loads neither torch nor ray nor mlflow nor pandas."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator
from tests.orchestrator.samples import SWEEP, write

HEAVY = ("torch", "transformers", "ray", "mlflow", "pandas", "matplotlib", "scipy", "optuna")

PROGRAM = """
import json, sys
from orchestrator import cli
sys.argv = ["orchestrate", *json.loads(sys.argv[1])]
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps([name for name in json.loads(sys.stdin.read()) if name in sys.modules]))
"""


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["validate"], ["plan"], ["status"], ["schema"]])
def test_looking_at_a_study_loads_nothing_heavy(tmp_path, command):
    if command[0] in ("validate", "plan", "status"):
        command = [*command, str(write(tmp_path, SWEEP))]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(command)],
        input=json.dumps(HEAVY), capture_output=True, text=True, check=True, cwd=Path(orchestrator.__file__).parents[1],
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("path", sorted(Path(orchestrator.__file__).parent.rglob("*.py")), ids=lambda path: path.stem)
def test_no_file_of_the_orchestrator_imports_torch_ray_or_mlflow_at_its_head(path):
    heads = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module or "" for node in heads if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in heads if isinstance(node, ast.Import) for alias in node.names]
    assert not {name.partition(".")[0] for name in names} & set(HEAVY)

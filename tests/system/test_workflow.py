"""What CI runs is valid, is what a person runs, and trusts nothing that can change under it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import harness

ROOT = Path(harness.__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"

pytestmark = pytest.mark.skipif(not WORKFLOW.is_file(), reason="no checkout with a workflow")


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(WORKFLOW.read_text())


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.skipif(find_spec("check_jsonschema") is None, reason="check-jsonschema is not installed")
@pytest.mark.parametrize("valid", [True, False])
def test_the_workflow_follows_the_schema(tmp_path, valid):
    file = tmp_path / "ci.yml"
    file.write_text(WORKFLOW.read_text() if valid else WORKFLOW.read_text().replace("runs-on:", "run-on:"))
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", file],
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == valid, done.stdout + done.stderr


def test_actions_are_pinned_to_a_commit(workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action


def test_jobs_may_only_read_and_end(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 180


def test_jobs_run_what_a_person_runs(workflow):
    ran = [step["run"] for step in steps(workflow) if "run" in step]
    assert ran == [".ci/run", ".ci/submissions", "make cluster", "make package", "make leaderboard"]
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"test", "submissions", "cluster", "leaderboard", "package", "regenerate"} <= set(targets)


def test_what_was_made_is_kept_when_the_job_fails(workflow):
    job = workflow["jobs"]["leaderboard"]
    [upload] = [s for s in job["steps"] if s.get("uses", "").startswith("actions/upload-artifact@")]
    assert upload["if"] == "always()"
    assert {"leaderboard", "results"} <= set(upload["with"]["path"].split())


def test_code_of_strangers_meets_no_secret(workflow):
    """Neither in a job that has any, nor with a cache that later jobs would take."""
    assert set(workflow[True]) == {"push", "pull_request", "schedule", "workflow_dispatch"}
    assert "secrets." not in WORKFLOW.read_text()
    jobs = workflow["jobs"].values()
    [job] = [job for job in jobs if any(step.get("run") == ".ci/submissions" for step in job["steps"])]
    assert job["if"] == "github.event_name == 'pull_request'"
    words = {
        word for step in job["steps"] for word in (*step.get("with", {}), *step.get("uses", "").split("/"))
    }
    assert "checkout@" in " ".join(words)
    assert not [word for word in words if word.startswith("cache")]
    others = (ROOT / name for name in ("Makefile", ".ci/run"))
    assert not any("--run-plugins" in file.read_text() for file in others)

"""What deploy/ holds is what the project is: files are linted by their own tools, and whatever they name exists.

No container is built and no cluster is asked here; docs/deployment.md says so.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from lifecycle_assets import cli
from lifecycle_assets.settings import Deployment

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
YAMLS = sorted(DEPLOY.rglob("*.yaml"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
VALUES = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text("utf-8"))
CRON = yaml.safe_load((DEPLOY / "kubernetes" / "nightly.yaml").read_text("utf-8"))
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
PAGE = (ROOT / "docs" / "deployment.md").read_text("utf-8")
SHIPPED = yaml.safe_load((ROOT / "resources" / "dagster.postgres.yaml").read_text("utf-8"))
BIN = Path(sys.executable).parent


def tool(name: str, *arguments: str) -> None:
    done = subprocess.run([BIN / name, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_yaml_files_are_tidy() -> None:
    rules = "{extends: default, rules: {document-start: disable, line-length: {max: 128}}}"
    tool("yamllint", "--strict", "-d", rules, *map(str, YAMLS))


def test_the_container_file_passes_its_linter() -> None:
    tool("hadolint", "--failure-threshold", "info", str(DEPLOY / "Containerfile"))


def test_the_compose_file_follows_the_specification() -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml"))


@pytest.mark.parametrize("name", ["home.yaml", "nightly.yaml"])
def test_manifests_are_valid_for_kubernetes(name: str) -> None:
    import kubernetes_validate

    manifest = yaml.safe_load((DEPLOY / "kubernetes" / name).read_text("utf-8"))
    kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_images_are_pinned_to_a_version() -> None:
    images = re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE)
    images += [service["image"] for service in COMPOSE["services"].values()]
    images.append(CRON["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"])
    for image in images:
        tag = image.removesuffix("}").rpartition(":")[2]
        assert re.match(r"\d+\.\d+", tag), f"{image} moves"
    ours = {str(deployment["image"]["tag"]) for deployment in VALUES["dagster-user-deployments"]["deployments"]}
    ours |= {image.removesuffix("}").rpartition(":")[2] for image in images if "lifecycle-assets" in image}
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert ours == set(re.findall(r'^version = "(.+)"', project, re.MULTILINE))


def test_the_image_holds_what_the_lock_says_and_no_more_than_it_needs() -> None:
    pattern = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)
    whole = set(pattern.findall((ROOT / "requirements.lock").read_text("utf-8")))
    image = set(pattern.findall((DEPLOY / "requirements.lock").read_text("utf-8")))
    assert image < whole
    names = {name for name, _ in image}
    assert {"dagster", "dagster-postgres", "dagster-webserver", "dagster-k8s", "dagster-celery", "hatchling"} <= names
    assert not names & {"pytest", "ruff", "hypothesis", "playwright", "moto"}


def test_what_the_container_file_copies_is_there_and_let_in() -> None:
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text("utf-8").split()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE):
        for path in line.split():
            assert (ROOT / path).exists()
            assert f"!{path}" in ignored


def test_files_that_compose_mounts_are_there() -> None:
    for mount in COMPOSE["services"]["code"]["volumes"]:
        if mount.startswith("."):
            assert (DEPLOY / mount.split(":")[0]).resolve().is_file(), mount
    workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text("utf-8"))
    (server,) = (entry["grpc_server"] for entry in workspace["load_from"])
    command = COMPOSE["services"]["code"]["command"]
    assert server["host"] in COMPOSE["services"]
    assert str(server["port"]) == command[command.index("--port") + 1]


def commands() -> Iterator[list[str]]:
    for service in COMPOSE["services"].values():
        if "command" in service:
            yield service["command"]
        kind, *test = service["healthcheck"]["test"]
        assert kind == "CMD"
        if test[0].startswith(("dagster", "lifecycle")):
            yield test
    yield CRON["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"]
    arguments = VALUES["dagster-user-deployments"]["deployments"][0]["codeServerArgs"]
    yield ["dagster", "code-server", "start", *arguments]
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.search(r"(?:^|\bcode )((?:lifecycle|dagster\S*) [a-z].*)$", line.partition("#")[0]):
                yield shlex.split(found.group(1))


def test_commands_that_are_named_exist_with_their_options() -> None:
    seen = list(commands())
    assert sum(words[0] == "lifecycle" for words in seen) >= 3
    for words in seen:
        depth = 1 + sum(1 for _ in _subcommands(words))
        told = _help(words[:depth])
        own = words[depth : words.index("--")] if "--" in words else words[depth:]
        for option in (word for word in own if word.startswith("--")):
            assert option.partition("=")[0] in told, f"{shlex.join(words)}: no {option}"


def _subcommands(words: list[str]) -> Iterator[str]:
    for word in words[1:]:
        if word.startswith("-"):
            return
        yield word
        if words[0] == "lifecycle":
            return


def _help(words: list[str]) -> str:
    if words[0] == "lifecycle":
        done = CliRunner().invoke(cli.app, [*words[1:], "--help"], env={"COLUMNS": "300"})
        assert done.exit_code == 0, done.output
        return re.sub(r"\x1b\[[0-9;]*m", "", done.output)
    run = subprocess.run([BIN / words[0], *words[1:], "--help"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{shlex.join(words)}: {run.stderr}"
    return run.stdout


def test_environment_variables_that_are_set_are_read_by_something() -> None:
    project = "".join(
        path.read_text("utf-8")
        for folder in ("lifecycle_assets", "resources")
        for suffix in ("*.py", "*.yaml")
        for path in (ROOT / folder).rglob(suffix)
    )
    named = {
        *COMPOSE["services"]["code"]["environment"],
        *re.findall(r"^(?:ENV| {4}) ?([A-Z_]+)=", CONTAINERFILE, re.MULTILINE),
    }
    named |= {entry["name"] for entry in VALUES["dagster-user-deployments"]["deployments"][0]["env"]}
    of_others = {"PATH", "PYTHONUNBUFFERED", "NUMBA_CACHE_DIR"}
    for name in named - of_others:
        assert name in project, f"nothing reads {name}"


def test_the_page_names_settings_and_files_that_exist() -> None:
    for block in re.findall(r"```yaml\n# lifecycle.yaml\n(.*?)```", PAGE, re.DOTALL):
        Deployment.model_validate(yaml.safe_load(block))
    for path in re.findall(r"`((?:deploy|resources|docs|bench|tests)/[\w./-]+)`", PAGE):
        assert (ROOT / path).exists(), path
    chart = re.findall(r"--version (\S+)", PAGE)
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert chart and set(chart) == set(re.findall(r"^dagster==(\S+)", lock, re.MULTILINE))


def test_the_queue_of_the_chart_is_the_shipped_one() -> None:
    ours, theirs = SHIPPED["concurrency"], VALUES["concurrency"]
    assert theirs["runs"]["tagConcurrencyLimits"] == ours["runs"]["tag_concurrency_limits"]
    assert theirs["pools"]["granularity"] == ours["pools"]["granularity"]
    monitoring = VALUES["dagsterDaemon"]["runMonitoring"]
    assert monitoring["maxRuntimeSeconds"] == SHIPPED["run_monitoring"]["max_runtime_seconds"]
    assert monitoring["freeSlotsAfterRunEndSeconds"] == SHIPPED["run_monitoring"]["free_slots_after_run_end_seconds"]
    assert VALUES["additionalInstanceConfig"]["freshness"] == SHIPPED["freshness"]
    sensor = dict(VALUES["retention"]["sensor"]["purgeAfterDays"])
    assert sensor.pop("started") == -1
    assert sensor == SHIPPED["retention"]["sensor"]["purge_after_days"]


@pytest.mark.parametrize("name", ["dagster.celery.yaml", "dagster.k8s.yaml"])
def test_run_launchers_take_their_configuration(name: str) -> None:
    """Dagster's own check of the launcher's configuration, environment variables included."""
    import importlib

    from dagster._config import post_process_config, resolve_to_config_type, validate_config

    launcher: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text("utf-8"))["run_launcher"]
    kind = getattr(importlib.import_module(launcher["module"]), launcher["class"])
    schema = resolve_to_config_type(kind.config_type())
    checked = validate_config(schema, launcher["config"])
    assert checked.success, [error.message for error in checked.errors or []]
    os.environ.setdefault("CELERY_BROKER_URL", "memory://")
    os.environ.setdefault("CELERY_RESULT_URL", "cache+memory://")
    assert post_process_config(schema, launcher["config"]).success
    assert json.dumps(launcher["config"])

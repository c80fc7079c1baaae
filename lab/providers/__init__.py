"""Stand-ins for Pulumi's `aws` and `tls` plugins, where the vendor's cannot be downloaded.

They speak the provider protocol and turn the resource types that the library uses into AWS API calls (`aws`) and into
keys and certificates (`tls`), by the rules of the Terraform providers that the vendor's plugins are made from.
"""

import shlex
import sys
from pathlib import Path
from typing import Final

from lab.providers.definition import Provider

# Name → the version of the plugin that it stands in for: those that requirements/program.in pins the SDKs to.
PROVIDERS: Final = {"aws": "7.51.1", "tls": "5.6.2"}


def load(name: str) -> Provider:
    """The provider of that name; only its own modules are imported."""
    if name == "aws":
        from lab.providers.aws.provider import AwsProvider  # noqa: PLC0415  # tls does not wait for aws, nor aws for tls

        return AwsProvider()
    from lab.providers.tls.provider import TlsProvider  # noqa: PLC0415  # as above

    return TlsProvider()


def install(pulumi_home: Path) -> None:
    """Writes the plugins into a Pulumi home, `plugins/resource-aws-v7.51.1/pulumi-resource-aws` and its like.

    Each is a shell script that runs this interpreter with this checkout on its path. One in place is left.

    Args:
        pulumi_home: The folder that PULUMI_HOME names; made where it is missing.
    """
    checkout = Path(__file__).resolve().parents[2]
    for name, version in PROVIDERS.items():
        script = (
            "#!/bin/sh\n"
            f"# Stands in for the vendor's {name} plugin {version}.\n"
            f"PYTHONPATH={shlex.quote(str(checkout))} "
            f'exec {shlex.quote(sys.executable)} -X frozen_modules=on -m lab.providers {name} "$@"\n'
        )
        directory = pulumi_home / "plugins" / f"resource-{name}-v{version}"
        directory.mkdir(parents=True, exist_ok=True)
        plugin = directory / f"pulumi-resource-{name}"
        if plugin.is_file() and plugin.read_text() == script:
            continue
        fresh = plugin.with_suffix(".new")
        fresh.write_text(script)
        fresh.chmod(0o755)
        fresh.replace(plugin)

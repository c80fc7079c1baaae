"""The two providers in this process, the aws one against the module's cloud."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.providers.serve import start
from lab.providers.values import Secret
from tests.engine.aws import REGION, Cloud
from tests.engine.providers.plugin import Plugin

# The names that the provider's configuration has for the services' endpoints.
SERVICES = ("acm", "cloudwatchlogs", "ec2", "iam", "iot", "route53", "route53resolver", "sts")


def configuration(cloud: Cloud, **more: Any) -> dict[str, Any]:
    """The configuration of a provider for a cloud; what is no text is JSON, as the SDK sends it."""
    return {
        "region": REGION,
        "accessKey": Secret("test"),
        "secretKey": Secret("test"),
        "endpoints": json.dumps([dict.fromkeys(SERVICES, cloud.url)]),
        **{name: value if isinstance(value, str) else json.dumps(value) for name, value in more.items()},
    }


@pytest.fixture(scope="module")
def new_aws(cloud: Cloud) -> Iterator[Callable[..., Plugin]]:
    """Start an aws provider with a configuration of the test's own."""
    started = []

    def make(**more: Any) -> Plugin:
        server, port = start("aws")
        plugin = Plugin(port)
        started.append((server, plugin))
        plugin.configure(configuration(cloud, **more))
        return plugin

    yield make
    for server, plugin in started:
        plugin.close()
        server.stop(None).wait()


@pytest.fixture(scope="module")
def aws(new_aws: Callable[..., Plugin]) -> Plugin:
    """The aws provider, configured for the module's cloud."""
    return new_aws()


@pytest.fixture(scope="session")
def tls() -> Iterator[Plugin]:
    """The tls provider; PRIVATE_IOT_TEST_TLS_PLUGIN names another plugin's program to judge by the same tests."""
    program = os.environ.get("PRIVATE_IOT_TEST_TLS_PLUGIN")
    if program:
        with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            plugin = Plugin(int(process.stdout.readline()))
            plugin.configure({})
            yield plugin
            plugin.close()
            process.terminate()
        return
    server, port = start("tls")
    plugin = Plugin(port)
    plugin.configure({})
    yield plugin
    plugin.close()
    server.stop(None).wait()

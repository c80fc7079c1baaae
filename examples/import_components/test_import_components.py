"""The example under Pulumi's own mocks, as a project that imports the components would test itself.

Needs nothing but the installed package and pytest. Cannot prove that AWS accepts the resources.
"""

import asyncio
import runpy
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pulumi_aws
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, mocks, settings, stack

HERE = Path(__file__).parent
REGION = "eu-central-1"

with warnings.catch_warnings():
    # A part of the SDK's lazy EC2 module warns about itself at its first import.
    warnings.simplefilter("ignore", DeprecationWarning)
    pulumi_aws.ec2.Vpc  # noqa: B018 # for its side effect


class Cloud(Mocks):
    """Answers with just enough for the program to run, and keeps what was registered."""

    def __init__(self) -> None:
        self.resources: list[MockResourceArgs] = []
        self.providers: set[str] = set()

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, object]]:
        self.resources.append(args)
        if args.typ.startswith("aws:"):
            self.providers.add(str(args.provider).split("::")[-2])
        computed: dict[str, object] = {"arn": f"arn:{args.name}", "dnsName": f"*.{args.name}.example"}
        if args.typ == "aws:ec2/vpcEndpoint:VpcEndpoint":
            computed["dnsEntries"] = [{"dnsName": "vpce-0a-1b.data.iot.example", "hostedZoneId": "Z1"}]
        for pem in ("privateKeyPem", "privateKeyPemPkcs8", "certPem", "certRequestPem", "certificatePem"):
            computed[pem] = f"PEM of {args.name}"
        return f"{args.name}-id", {"name": args.name, **args.inputs, **computed}

    def call(self, args: MockCallArgs) -> tuple[dict[str, object], list[tuple[str, str]] | None]:
        if args.token.startswith("aws:"):
            self.providers.add(str(args.provider).split("::")[-2])
        answers: dict[str, dict[str, object]] = {
            "readStackResourceOutputs": {},
            "getRegion": {"region": REGION},
            "getCallerIdentity": {"accountId": "123456789012", "arn": "arn:aws:sts::123456789012:user/u"},
            "getVpcEndpointService": {"availabilityZones": [f"{REGION}{letter}" for letter in "abc"]},
            "getEndpoint": {"endpointAddress": f"abc-ats.iot.{REGION}.amazonaws.com"},
        }
        return answers[args.token.rsplit(":", 1)[1]], []


def run() -> Cloud:
    """Run the program until every registration has drained."""
    cloud = Cloud()
    loops: list[asyncio.AbstractEventLoop] = []

    def give_thread_a_loop() -> None:
        # Pulumi's mocks make one in every thread and never close it.
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    async def program() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(initializer=give_thread_a_loop))
        mocks.set_mocks(cloud, project="greenhouse", stack="test")
        await stack.run_pulumi_func(lambda: _discard(runpy.run_path(str(HERE / "__main__.py"))))

    asyncio.run(program())
    for loop in loops:
        loop.close()
    settings.reset_options()
    return cloud


def _discard(_: object) -> None:
    """The program's names are nothing to wait for."""


def test_the_example_composes_two_zones_and_two_devices() -> None:
    count = Counter(one.typ for one in run().resources)
    assert count["private-iot:index:IotDevice"] == 2
    assert count["aws:ec2/subnet:Subnet"] == 2
    assert count["aws:iot/thing:Thing"] == 2
    assert count["aws:ec2clientvpn/endpoint:Endpoint"] == 1


def test_everything_on_aws_goes_through_the_examples_own_provider() -> None:
    assert run().providers == {"frankfurt"}


def test_the_examples_names_and_addresses_are_its_own() -> None:
    resources = {one.name: one for one in run().resources}
    assert resources["greenhouse-vpc"].inputs["cidrBlock"] == "10.80.0.0/20"
    subnets = [resources[f"greenhouse-vpc-subnet-eu-central-1{zone}"].inputs for zone in "ab"]
    assert [(one["availabilityZone"], one["cidrBlock"]) for one in subnets] == [
        ("eu-central-1a", "10.80.1.0/24"),
        ("eu-central-1b", "10.80.2.0/24"),
    ]
    assert resources["tomatoes-thing"].inputs == {
        "name": "tomatoes",
        "attributes": {"project": "greenhouse", "stack": "test"},
    }
    assert "topicfilter/weather/forecast" in resources["greenhouse-policy"].inputs["policy"]

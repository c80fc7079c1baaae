"""Room for a provisioning template's next version, which no provider makes.

AWS IoT keeps five versions of a template (AWS IoT Core endpoints and quotas) and refuses the sixth with
VersionsLimitExceededException. The provider makes a version of every change of the body and deletes none
(terraform-provider-aws, `internal/service/iot/provisioning_template.go`; its issue 35392). As a dynamic resource it
runs in the Python process that the engine starts for those, whose `python` has to find this package, also for a program
in another language; `delete_old_versions: false` does without.
"""

import contextlib
from typing import Any

import pulumi
from pulumi import dynamic

VERSIONS_LIMIT = 5
"""Versions of a template."""


class _VersionsProvider(dynamic.ResourceProvider):
    """Before the template changes, deletes its oldest versions; all that its deletion would do AWS does itself."""

    serialize_as_secret_always = False

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        replaces = [name for name in ("template", "region") if olds.get(name) != news.get(name)]
        return dynamic.DiffResult(changes=bool(replaces) or olds.get("body") != news.get("body"), replaces=replaces)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        _make_room(props)
        return dynamic.CreateResult(props["template"], dict(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        _make_room(news)
        return dynamic.UpdateResult(dict(news))


def _make_room(props: dict[str, Any]) -> None:
    # Here, since every program imports this module, and few ask AWS.
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    # Where boto3 may not ask, or has no credentials, the provider's own sixth version says what is wrong.
    with contextlib.suppress(BotoCoreError, ClientError):
        iot = boto3.client("iot", region_name=props["region"])
        pages = iot.get_paginator("list_provisioning_template_versions").paginate(templateName=props["template"])
        versions = [version for page in pages for version in page["versions"]]
        old = sorted(one["versionId"] for one in versions if not one["isDefaultVersion"])
        for version in old[: max(0, len(versions) - VERSIONS_LIMIT + 1)]:
            iot.delete_provisioning_template_version(templateName=props["template"], versionId=version)


class TemplateVersions(dynamic.Resource, module="private-iot", name="TemplateVersions"):
    """What a template depends on, so that it comes before each of its changes."""

    def __init__(
        self,
        name: str,
        *,
        template: str,
        body_hash: pulumi.Input[str],
        region: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        """Register the deletion of old versions.

        Args:
            name: The resource's name.
            template: The template's name.
            body_hash: Differs where the template's body does.
            region: Where AWS IoT is asked, with boto3's own credentials.
            opts: Options of the resource.
        """
        super().__init__(_VersionsProvider(), name, {"template": template, "body": body_hash, "region": region}, opts)

"""The wire format of provisioning templates, which moto does not have."""

from typing import Any
from urllib.parse import unquote

from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from lab.cloud.iot.provisioning import Provisioning


class ProvisioningResponse(BaseResponse):
    @property
    def _provisioning(self) -> Provisioning:
        raise NotImplementedError

    def _template_name(self) -> str:
        return unquote(self.path.split("/provisioning-templates/")[-1].split("/")[0])

    def create_provisioning_template(self) -> ActionResult:
        """Answer CreateProvisioningTemplate, with tags."""
        given = self._given()
        template = self._provisioning.create(given.get("templateName", ""), given.get("templateBody", ""), given)
        self._tag(template.arn)
        return ActionResult(
            {
                "templateArn": template.arn,
                "templateName": template.name,
                "defaultVersionId": template.default_version,
            }
        )

    def describe_provisioning_template(self) -> ActionResult:
        return ActionResult(self._provisioning.get(self._template_name()).described())

    def list_provisioning_templates(self) -> ActionResult:
        """Answer ListProvisioningTemplates, in pages."""
        members = ("templateArn", "templateName", "description", "creationDate", "lastModifiedDate", "enabled", "type")
        listed = [template.described() for template in self._provisioning.templates.values()]
        items = [{name: one[name] for name in members if name in one} for one in listed]
        return self._page("templates", items, "maxResults", "nextToken")

    def update_provisioning_template(self) -> ActionResult:
        self._provisioning.update(self._template_name(), self._given())
        return EmptyResult()

    def delete_provisioning_template(self) -> ActionResult:
        arn = self._provisioning.get(self._template_name()).arn
        self._provisioning.delete(self._template_name())
        self._untag_all(arn)
        return EmptyResult()

    def create_provisioning_template_version(self) -> ActionResult:
        """Answer CreateProvisioningTemplateVersion; setAsDefault is of the query string."""
        template, version = self._provisioning.create_version(
            self._template_name(),
            str(self._get_param("templateBody")),
            default=self._get_bool_param("setAsDefault", False),
        )
        return ActionResult(
            {
                "templateArn": template.arn,
                "templateName": template.name,
                "versionId": version,
                "isDefaultVersion": version == template.default_version,
            }
        )

    def list_provisioning_template_versions(self) -> ActionResult:
        """Answer ListProvisioningTemplateVersions, in pages."""
        template = self._provisioning.get(self._template_name())
        items = [
            {
                "versionId": number,
                "creationDate": template.created,
                "isDefaultVersion": number == template.default_version,
            }
            for number in template.versions
        ]
        return self._page("versions", items, "maxResults", "nextToken")

    def delete_provisioning_template_version(self) -> ActionResult:
        self._provisioning.delete_version(self._template_name(), int(self.path.rpartition("/")[2]))
        return EmptyResult()

    def _given(self) -> dict[str, Any]:
        names = (
            "templateName",
            "description",
            "templateBody",
            "enabled",
            "provisioningRoleArn",
            "preProvisioningHook",
            "removePreProvisioningHook",
            "defaultVersionId",
            "type",
        )
        return {name: value for name in names if (value := self._get_param(name)) is not None}

    def _tag(self, arn: str) -> None:
        raise NotImplementedError

    def _untag_all(self, arn: str) -> None:
        raise NotImplementedError

    def _page(self, member: str, items: list[Any], size_name: str, token_name: str) -> ActionResult:
        raise NotImplementedError

"""Tags of resources that moto does not know."""

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import validate_resource_ids

from lab.cloud.ec2.responses.base import LabResponse

CLIENT_VPN_ENDPOINT = "cvpn-endpoint-"


class Tags(LabResponse):
    def create_tags(self) -> ActionResult:
        resource_ids = self._existing()
        self.error_on_dryrun()
        self.backend.create_tags(resource_ids, {tag["Key"]: tag["Value"] for tag in self._get_param("Tags", [])})
        return EmptyResult()

    def delete_tags(self) -> ActionResult:
        """Answer DeleteTags; without Tags, all of them go."""
        resource_ids = self._existing()
        self.error_on_dryrun()
        tags = {tag["Key"]: tag.get("Value") for tag in self._get_param("Tags", [])}
        for resource_id in resource_ids:
            chosen = tags or dict.fromkeys(self.backend.tags.get(resource_id, {}))
            self.backend.delete_tags([resource_id], chosen)  # type: ignore[arg-type] # moto takes None for "any value"
        return EmptyResult()

    def _existing(self) -> list[str]:
        resource_ids: list[str] = self._get_param("Resources", [])
        others = [one for one in resource_ids if not one.startswith(CLIENT_VPN_ENDPOINT)]
        if others or not resource_ids:
            validate_resource_ids(others)
            self.backend.do_resources_exist(others)
        for resource_id in set(resource_ids) - set(others):
            self.backend.get_client_vpn_endpoint(resource_id)
        return resource_ids

"""VPC endpoints and their services."""

from moto.core.responses import ActionResult
from moto.ec2.utils import add_tag_specification

from lab.cloud.ec2.responses.base import LabResponse


class VpcEndpoints(LabResponse):
    def create_vpc_endpoint(self) -> ActionResult:
        self.error_on_dryrun()
        parameters = self.parameters()
        tags = add_tag_specification(self._get_param("TagSpecifications", []))
        endpoint = self.once("CreateVpcEndpoint", lambda: self.backend.create_endpoint(parameters, tags))
        return self.result(
            VpcEndpoint=self.backend.describe_endpoint(endpoint, endpoint.progress.code),
            ClientToken=parameters.get("ClientToken"),
        )

    def modify_vpc_endpoint(self) -> ActionResult:
        self.error_on_dryrun()
        self.backend.modify_endpoint(self._get_param("VpcEndpointId"), self.parameters())
        return self.result(Return=True)

    def describe_vpc_endpoints(self) -> ActionResult:
        self.error_on_dryrun()
        endpoints = self.filtered(
            self.backend.list_endpoints(self._get_param("VpcEndpointIds", [])),
            {
                "vpc-endpoint-id": lambda endpoint: endpoint.id,
                "vpc-endpoint-state": lambda endpoint: endpoint.progress.code,
                "vpc-endpoint-type": lambda endpoint: endpoint.vpc_endpoint_type,
                "vpc-id": lambda endpoint: endpoint.vpc_id,
                "service-name": lambda endpoint: endpoint.service_name,
                "ip-address-type": lambda _: "ipv4",
                "tag": lambda endpoint: self.backend.tags.get(endpoint.id, {}),
            },
        )
        shown, token = self.page(endpoints, smallest=1)
        return self.result(
            VpcEndpoints=[self.backend.describe_endpoint(one, one.progress.observe()) for one in shown], NextToken=token
        )

    def delete_vpc_endpoints(self) -> ActionResult:
        self.error_on_dryrun()
        return self.result(Unsuccessful=self.backend.delete_endpoints(self._get_param("VpcEndpointIds", [])))

    def describe_vpc_endpoint_services(self) -> ActionResult:
        self.error_on_dryrun()
        services = self.backend.list_endpoint_services(self._get_param("ServiceNames", []), self.filters())
        shown, token = self.page(services, smallest=1)
        return self.result(
            ServiceNames=[service["ServiceName"] for service in shown], ServiceDetails=shown, NextToken=token
        )

"""`aws:ec2/flowLog:FlowLog`. Source: terraform-provider-aws ``internal/service/ec2/vpc_flow_log.go``.

Every change but that of tags replaces.
"""

from typing import Any

from lab.providers.aws.common import arn
from lab.providers.aws.description import Answer, Description, refuse_unsuccessful, settled
from lab.providers.schema import boolean, force_new, integer, list_of, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

# Input → the resource's type in CreateFlowLogs and the prefix of its ids.
_OF: dict[str, tuple[str, str]] = {
    "vpcId": ("VPC", "vpc-"),
    "transitGatewayAttachmentId": ("TransitGatewayAttachment", "tgw-attach-"),
    "transitGatewayId": ("TransitGateway", "tgw-"),
    "regionalNatGatewayId": ("RegionalNatGateway", "nat-"),
    "subnetId": ("Subnet", "subnet-"),
    "eniId": ("NetworkInterface", "eni-"),
}


def _arguments(call: Call, inputs: Properties) -> Answer:
    del call
    name = next(name for name in _OF if inputs.get(name))
    arguments: dict[str, Any] = {"ResourceIds": [inputs[name]], "ResourceType": _OF[name][0]}
    if inputs.get("logDestination"):
        arguments["LogDestination"] = inputs["logDestination"].removesuffix(":*")
    return arguments


def _created(answer: Answer, inputs: Properties) -> str:
    del inputs
    refuse_unsuccessful(answer, "creating Flow Log: CreateFlowLogs", ())
    return str(answer["FlowLogIds"][0])


def _seen(call: Call, log: Answer, state: Properties) -> Properties:
    del call, state
    of = str(log.get("ResourceId", ""))
    name = next((name for name, (_, prefix) in _OF.items() if of.startswith(prefix)), None)
    return {name: of} if name else {}


RESOURCES = settled(
    [
        Description(
            type="aws:ec2/flowLog:FlowLog",
            title="Flow Log",
            service="ec2",
            inputs=force_new(
                {
                    "deliverCrossAccountRole": string(validate=arn),
                    "destinationOptions": object_of(
                        {
                            "fileFormat": string(default="plain-text", allowed=("plain-text", "parquet")),
                            "hiveCompatiblePartitions": boolean(default=False),
                            "perHourPartition": boolean(default=False),
                        },
                        computed=True,
                    ),
                    "iamRoleArn": string(validate=arn),
                    "logDestination": string(computed=True, validate=arn),
                    "logDestinationType": string(
                        default="cloud-watch-logs", allowed=("cloud-watch-logs", "s3", "kinesis-data-firehose")
                    ),
                    "logFormat": string(computed=True),
                    "maxAggregationInterval": integer(default=600, allowed=(60, 600)),
                    "tagFieldSpecifications": set_of(
                        object_of({"resourceType": string(required=True), "tagKeys": list_of(string(), required=True)})
                    ),
                    "trafficType": string(allowed=("ACCEPT", "REJECT", "ALL")),
                    **{name: string() for name in _OF},
                }
            ),
            find=("describe_flow_logs", "FlowLogIds[]", "FlowLogs[]"),
            gone=("InvalidFlowLogId.NotFound",),
            create=("create_flow_logs", _created),
            sent=(
                "deliverCrossAccountRole",
                "destinationOptions",
                "iamRoleArn",
                "logDestinationType",
                "logFormat",
                "maxAggregationInterval",
                "tagFieldSpecifications",
                "trafficType",
            ),
            fields={"iamRoleArn": "DeliverLogsPermissionArn"},
            arn="vpc-flow-log/{id}",
            tags="ec2:vpc-flow-log",
            arguments=_arguments,
            seen=_seen,
            delete=("delete_flow_logs", "FlowLogIds[]"),
        ).resource(exactly_one_of=(tuple(_OF),))
    ]
)

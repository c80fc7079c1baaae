"""`aws:ec2/flowLog:FlowLog`. Source: terraform-provider-aws ``internal/service/ec2/vpc_flow_log.go``.

Every change but that of tags replaces. Left out: transit and NAT gateways, the form of files, fields for tags.
"""

from lab.providers.aws.common import arn
from lab.providers.aws.description import Description, Operation, refuse_unsuccessful, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import force_new, integer, string
from lab.providers.values import Properties

# Input → the resource's type in CreateFlowLogs and the prefix of its ids.
_OF = {"vpcId": ("VPC", "vpc-"), "subnetId": ("Subnet", "subnet-"), "eniId": ("NetworkInterface", "eni-")}
_DESTINATIONS = ("cloud-watch-logs", "s3", "kinesis-data-firehose")


def _arguments(op: Operation) -> Answer:
    name = next(name for name in _OF if op.inputs.get(name))
    destination = (op.inputs.get("logDestination") or "").removesuffix(":*")
    return {"ResourceIds": [op.inputs[name]], "ResourceType": _OF[name][0], "LogDestination": destination or None}


def _created(_op: Operation, answer: Answer) -> str:
    refuse_unsuccessful(answer, "creating Flow Log: CreateFlowLogs", ())
    return str(answer["FlowLogIds"][0])


def _seen(_op: Operation, log: Answer) -> Properties:
    return {name: log["ResourceId"] for name, (_, prefix) in _OF.items() if log["ResourceId"].startswith(prefix)}


_FLOW_LOG = Description(
    type="aws:ec2/flowLog:FlowLog",
    title="Flow Log",
    exactly_one_of=(tuple(_OF),),
    service="ec2",
    inputs=force_new(
        {
            "iamRoleArn": string(validate=arn),
            "logDestination": string(computed=True, validate=arn),
            "logDestinationType": string(default="cloud-watch-logs", allowed=_DESTINATIONS),
            "logFormat": string(computed=True),
            "maxAggregationInterval": integer(default=600, allowed=(60, 600)),
            "trafficType": string(allowed=("ACCEPT", "REJECT", "ALL")),
            **dict.fromkeys(_OF, string()),
        }
    ),
    find=("describe_flow_logs", "FlowLogIds[]", "FlowLogs[]"),
    gone=("InvalidFlowLogId.NotFound",),
    create=("create_flow_logs", _created),
    fields={"iamRoleArn": "DeliverLogsPermissionArn"},
    arn="vpc-flow-log/{id}",
    tags="vpc-flow-log",
    arguments=_arguments,
    seen=_seen,
    delete=("delete_flow_logs", "FlowLogIds[]"),
)
RESOURCES = served(_FLOW_LOG)

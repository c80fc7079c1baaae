"""Flow logs where moto's differ from AWS: a log group is named by its ARN too."""

from typing import Any

from moto.ec2 import models as moto
from moto.ec2.models.flow_logs import FlowLogs


class FlowLogBackend(moto.EC2Backend):
    """A part of the EC2 backend."""

    def create_flow_logs(  # type: ignore[override] # moto calls it by names alone
        self, **named: Any
    ) -> tuple[list[FlowLogs], list[Any]]:
        """Make flow logs; API CreateFlowLogs: LogDestination is "the ARN of the log group", LogGroupName the older way.

        moto looks at the name alone to tell whether the group is there.
        """
        destination = named.get("log_destination")
        if named.get("log_destination_type") in (None, "cloud-watch-logs") and destination:
            named["log_group_name"] = destination.split(":log-group:", 1)[-1].removesuffix(":*")
        return super().create_flow_logs(**named)

"""AWS IoT policies evaluated as IAM evaluates them: pure functions of documents and one request.

>>> statement = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/${iot:ClientId}"}
>>> document = {"Version": "2012-10-17", "Statement": [statement]}
>>> request = Request("iot:Connect", "arn:aws:iot:ap-northeast-1:123456789012:client/pi-1", {"iot:ClientId": "pi-1"})
>>> evaluate({"least-privilege": document}, request).allowed
True
"""

from lab.path.iot_policy.evaluation import Decision, Request, depends_on_time, evaluate

__all__ = ["Decision", "Request", "depends_on_time", "evaluate"]

"""AWS's APIs on a loopback port: moto's server plus what moto lacks.

A client needs nothing but ``AWS_ENDPOINT_URL``: boto3, the AWS CLI and the providers of Pulumi and Terraform work
unchanged.

| module | holds |
| --- | --- |
| `server` | start, stop and find the server's process |
| `application` | the WSGI application: call log, faults, the lab's own HTTP, then moto |
| `faults` | calls to throttle or fail, and the journal of calls |
| `authority` | the root that IoT certificates chain to |
| `extensions` | puts the lab's backends in the place of moto's |
| `ec2`, `acm`, `iot`, `logs`, `route53`, `route53resolver` | what moto lacks of a service, in moto's split |
"""

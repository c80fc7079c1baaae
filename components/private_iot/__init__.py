"""Private connectivity for IoT devices on AWS, as Pulumi components."""

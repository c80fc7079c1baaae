"""CloudWatch Logs where moto's differ from AWS: a log group tells its class."""

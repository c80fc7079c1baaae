"""The device's half of the private path to AWS IoT Core."""

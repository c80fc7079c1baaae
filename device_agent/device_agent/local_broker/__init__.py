"""The MQTT broker on the device: its topics, its configuration, and the agent as its client."""

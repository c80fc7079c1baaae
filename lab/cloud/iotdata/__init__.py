"""The data plane of AWS IoT over HTTPS: publishing, and messages that are retained."""

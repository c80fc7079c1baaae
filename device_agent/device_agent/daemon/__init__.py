"""Keeps the device on the path: the queue, the connection to AWS IoT, the local socket and the tunnel."""

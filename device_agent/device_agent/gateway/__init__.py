"""The device as a gateway: its neighbours of the LAN reach AWS IoT through its tunnel, and nothing else."""

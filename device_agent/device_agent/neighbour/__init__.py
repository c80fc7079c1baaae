"""The device without a tunnel: it reaches AWS IoT through a gateway of its LAN, and is kept there."""

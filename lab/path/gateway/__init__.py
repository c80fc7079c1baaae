"""AWS IoT's front: a TLS gateway that knows devices by their certificates and evaluates their policies.

``python -m lab.path.gateway --table FILE --broker-socket PATH`` runs it before a mosquitto on a unix socket, which is
configured by ``mosquitto_configuration``. What it reproduces of AWS IoT, and from where: docs/fidelity/gateway.md.
"""

from lab.path.gateway.broker import mosquitto_configuration

__all__ = ["mosquitto_configuration"]

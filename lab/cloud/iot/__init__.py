"""AWS IoT's control plane where moto's differs from AWS: endpoints, certificates, policies."""

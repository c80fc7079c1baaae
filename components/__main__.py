"""Serves the components to Pulumi programs in other languages (`pulumi package add`)."""

from private_iot import ClientVpnAccess, IotDevice, IotPrivateLink, PrivateIotNetwork, __version__
from pulumi.provider.experimental import component_provider_host

if __name__ == "__main__":
    component_provider_host(
        name="private-iot",
        components=[PrivateIotNetwork, IotPrivateLink, ClientVpnAccess, IotDevice],
        version=__version__,
    )

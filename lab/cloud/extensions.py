"""Put the lab's backends in the place of moto's.

moto keeps the class of a service's backend in that service's ``BackendDict``, and finds the URLs beside the class's
module. So a subclass in a package of the lab needs one assignment, and nothing of moto is patched. The two tables of
EC2's identifiers are data that moto extends the same way; one function that is slow has its answers kept.
"""

import functools

from moto.acm.models import acm_backends
from moto.acmpca.models import acmpca_backends
from moto.core import responses
from moto.core.config import default_user_config
from moto.core.utils import method_names_from_class
from moto.ec2.models import ec2_backends
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX
from moto.iam.models import iam_backends
from moto.iot.models import iot_backends
from moto.iotdata.models import iotdata_backends
from moto.logs.models import logs_backends
from moto.route53.models import route53_backends
from moto.route53resolver.models import route53resolver_backends

from lab.cloud.acm.models import CertificateManagerBackend
from lab.cloud.acmpca.models import PrivateCaBackend
from lab.cloud.authority import Authority
from lab.cloud.ec2.models import EC2Backend
from lab.cloud.iam.models import IAMBackend
from lab.cloud.iot.models import IoTBackend
from lab.cloud.iotdata.models import IoTDataPlaneBackend
from lab.cloud.logs.models import LogsBackend
from lab.cloud.route53.models import Route53Backend
from lab.cloud.route53resolver.models import Route53ResolverBackend


def register(authority: Authority) -> None:
    """Extend moto; call it once, before the first request.

    Args:
        authority: signs the certificates that AWS IoT issues.
    """
    IoTBackend.authority = authority
    iot_backends.backend = IoTBackend
    # AWS: "The certificate ID is the SHA-256 of the DER"; moto hashes the PEM unless it is told not to.
    default_user_config["iot"]["use_valid_cert"] = True
    # What AWS itself has in every account, such as AWSIoTThingsRegistration.
    default_user_config["iam"]["load_aws_managed_policies"] = True
    iam_backends.backend = IAMBackend
    # Asked at every call, of one class a service.
    responses.method_names_from_class = functools.cache(method_names_from_class)  # type: ignore[attr-defined]

    logs_backends.backend = LogsBackend
    route53_backends.backend = Route53Backend
    route53resolver_backends.backend = Route53ResolverBackend
    acm_backends.backend = CertificateManagerBackend
    acmpca_backends.backend = PrivateCaBackend
    iotdata_backends.backend = IoTDataPlaneBackend

    ec2_backends.backend = EC2Backend
    # moto reads the part before the first dash as the prefix of an identifier.
    EC2_RESOURCE_TO_PREFIX["client-vpn-endpoint"] = "cvpn"
    EC2_PREFIX_TO_RESOURCE["cvpn"] = "client-vpn-endpoint"

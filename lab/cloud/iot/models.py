"""AWS IoT's state where moto's differs from AWS."""

import hashlib
import string
from typing import Any, ClassVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from moto.core.utils import utcnow
from moto.iot import models as moto
from moto.iot.exceptions import (
    InvalidRequestException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from moto.utilities.utils import get_partition

from lab.cloud.authority import Authority
from lab.cloud.iot.exceptions import LimitExceededError
from lab.cloud.iot.policies import check_document
from lab.cloud.iot.provisioning import Provisioning

ENDPOINT_SUFFIXES = {
    "iot:Data": "iot",
    "iot:Data-ATS": "-ats.iot",
    "iot:CredentialProvider": "credentials.iot",
    "iot:Jobs": "jobs.iot",
}
MIN_RSA_BITS = 2048
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
"""Keys of a request: RSA of 2048 bits or more, or EC on one of these (API reference, CreateCertificateFromCsr)."""
MAX_POLICIES_PER_PRINCIPAL = 10
"""AWS IoT Core endpoints and quotas, "Maximum number of policies that can be attached to a certificate"."""
EXCLUSIVE = "EXCLUSIVE_THING"
NON_EXCLUSIVE = "NON_EXCLUSIVE_THING"
SETTABLE_STATUSES = ("ACTIVE", "INACTIVE", "REVOKED")
"""The API reference says of the others that they are deprecated or not for callers to set (UpdateCertificate)."""


class Certificate(moto.FakeCertificate):
    """A registered certificate with the validity that it really has."""

    def __init__(
        self, certificate_pem: str, status: str, account_id: str, region_name: str, ca_certificate_id: str | None = None
    ) -> None:
        super().__init__(certificate_pem, status, account_id, region_name, ca_certificate_id)
        parsed = x509.load_pem_x509_certificate(certificate_pem.encode())
        self.validity_not_before = parsed.not_valid_before_utc
        self.validity_not_after = parsed.not_valid_after_utc

    def to_description_dict(self) -> dict[str, Any]:
        """Return the description that DescribeCertificate gives."""
        return super().to_description_dict() | {"certificateMode": "DEFAULT"}


class IoTBackend(moto.IoTBackend):
    """AWS IoT of one account and Region.

    Attributes:
        authority: signs the certificates; set before the first backend is made.
        late_detachment: how many looks a detachment outlives: listings of the attachment, and deletes that it refuses.
            "This call is asynchronous. It might take several seconds for the detachment to propagate" (API reference,
            DetachThingPrincipal); no clock here, so that a test sees the same each time. 0 detaches at once.
        detaching: (principal, thing) → the looks that are left.
    """

    authority: ClassVar[Authority]
    late_detachment: ClassVar[int] = 0

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.thing_principal_types: dict[tuple[str, str], str] = {}
        self.detaching: dict[tuple[str, str], int] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.provisioning = Provisioning(self)
        self.denied_by_hook: dict[str, set[str]] = {}

    def describe_endpoint(self, endpoint_type: str) -> moto.FakeEndpoint:
        """Return the one address that the account has in the Region for this type."""
        endpoint = super().describe_endpoint(endpoint_type)
        # The credential provider has an identifier of its own on AWS; the data types share theirs.
        kind = "c" if endpoint_type == "iot:CredentialProvider" else "a"
        identifier = kind + _identifier(f"{self.account_id}/{self.region_name}/{kind}", 13)
        suffix = ENDPOINT_SUFFIXES[endpoint_type]
        separator = "" if suffix.startswith("-") else "."
        endpoint.endpoint = f"{identifier}{separator}{suffix}.{self.region_name}.amazonaws.com"
        return endpoint

    def create_certificate_from_csr(self, csr: str, set_as_active: bool) -> moto.FakeCertificate:
        """Issue a certificate for the key of a request; the request's subject is not taken over, as on AWS."""
        try:
            request = x509.load_pem_x509_csr(csr.encode())
            valid = request.is_signature_valid
            public_key = request.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidRequestException(f"The certificate signing request is not valid: {error}") from error
        if not valid:
            raise InvalidRequestException("The signature of the certificate signing request is not valid.")
        if isinstance(public_key, rsa.RSAPublicKey):
            if public_key.key_size < MIN_RSA_BITS:
                raise InvalidRequestException(
                    f"The RSA key of the request has {public_key.key_size} bits; it needs {MIN_RSA_BITS} or more."
                )
        elif not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(public_key.curve, CURVES):
            raise InvalidRequestException("The key of the request has to be RSA, or EC on P-256, P-384 or P-521.")
        return self._register(public_key, set_as_active)

    def create_keys_and_certificate(self, set_as_active: bool) -> tuple[moto.FakeCertificate, dict[str, str]]:
        """Make a 2048-bit RSA key and issue its certificate."""
        private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public_pem = private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        private_pem = private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        certificate = self._register(private_key.public_key(), set_as_active)
        return certificate, {"PublicKey": public_pem.decode(), "PrivateKey": private_pem.decode()}

    def _register(self, public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, set_as_active: bool) -> Certificate:
        pem = self.authority.issue_device_certificate(public_key).public_bytes(serialization.Encoding.PEM).decode()
        status = "ACTIVE" if set_as_active else "INACTIVE"
        certificate = Certificate(pem, status, self.account_id, self.region_name)
        self.certificates[certificate.certificate_id] = certificate
        return certificate

    def update_certificate(self, certificate_id: str, new_status: str) -> None:
        """Set the status that a caller may set."""
        if new_status not in SETTABLE_STATUSES:
            raise InvalidRequestException(
                f"newStatus has to be one of {', '.join(SETTABLE_STATUSES)}; got {new_status!r}."
            )
        super().update_certificate(certificate_id, new_status)
        self.certificates[certificate_id].last_modified_date = utcnow()

    def create_policy(self, policy_name: str, policy_document: Any) -> moto.FakePolicy:
        """Store a policy whose document AWS IoT would take."""
        check_document(policy_document)
        return super().create_policy(policy_name, policy_document)

    def create_policy_version(
        self, policy_name: str, policy_document: Any, set_as_default: bool
    ) -> moto.FakePolicyVersion:
        """Store a version, of which there may be five."""
        check_document(policy_document)
        # moto marks a version as the default by what was asked, None where nothing was.
        return super().create_policy_version(policy_name, policy_document, bool(set_as_default))

    def attach_policy(self, policy_name: str, target: str) -> None:
        """Attach a policy to a principal, which may have ten."""
        attached = {name for name in self.policies if (target, name) in self.principal_policies}
        if policy_name not in attached and len(attached) >= MAX_POLICIES_PER_PRINCIPAL:
            raise LimitExceededError(f"{target} already has {MAX_POLICIES_PER_PRINCIPAL} policies attached")
        super().attach_policy(policy_name, target)

    def thing_arn(self, thing_name: str) -> str:
        """Return the ARN that a thing of a name has, or would have."""
        return f"arn:{get_partition(self.region_name)}:iot:{self.region_name}:{self.account_id}:thing/{thing_name}"

    def describe_thing(self, thing_name: str) -> moto.FakeThing:
        """Return a thing, by its key: moto looks through all of them, which a fleet feels."""
        thing = self.things.get(self.thing_arn(thing_name))
        if thing is None:
            raise ResourceNotFoundException
        return thing

    def _get_principal(self, principal_arn: str) -> Any:
        """Return a certificate by its key, likewise; moto knows the others."""
        known = self.certificates.get(principal_arn.rpartition(":cert/")[2])
        return known if known is not None and known.arn == principal_arn else super()._get_principal(principal_arn)

    def create_thing(
        self,
        thing_name: str,
        thing_type_name: str,
        attribute_payload: dict[str, Any] | None,
        billing_group_name: str | None = None,
    ) -> moto.FakeThing:
        """Create a thing; the same request again gives the same thing, another for its name is refused."""
        known = self.things.get(self.thing_arn(thing_name))
        if known is None:
            return super().create_thing(thing_name, thing_type_name, attribute_payload, billing_group_name)
        asked = (attribute_payload or {}).get("attributes", {}), thing_type_name, billing_group_name
        type_name = known.thing_type.thing_type_name if known.thing_type else None
        if asked != (known.attributes, type_name, known.billing_group_name):
            raise ResourceAlreadyExistsException(
                f"Thing {thing_name} already exists in account with different attributes", known.thing_id, known.arn
            )
        return known

    def update_thing(
        self,
        thing_name: str,
        thing_type_name: str,
        attribute_payload: dict[str, Any] | None,
        remove_thing_type: bool,
    ) -> None:
        """Change a thing; its version goes up."""
        super().update_thing(thing_name, thing_type_name, attribute_payload, remove_thing_type)
        self.describe_thing(thing_name).version += 1

    def attach_thing_principal_as(self, thing_name: str, principal_arn: str, kind: str | None) -> None:
        """Attach a certificate to a thing.

        Args:
            thing_name: the thing.
            principal_arn: the certificate.
            kind: ``EXCLUSIVE_THING`` or ``NON_EXCLUSIVE_THING``, which is the default.

        Raises:
            InvalidRequestException: the type is unknown, or one of the attachments would have to be the only one.
        """
        kind = kind or NON_EXCLUSIVE
        if kind not in (EXCLUSIVE, NON_EXCLUSIVE):
            raise InvalidRequestException(f"thingPrincipalType has to be {EXCLUSIVE} or {NON_EXCLUSIVE}; got {kind!r}.")
        others = [key for key in self.principal_things if key[0] == principal_arn and key[1] != thing_name]
        kinds = {kind, *(self.thing_principal_types[key] for key in others)}
        if others and EXCLUSIVE in kinds:
            raise InvalidRequestException(
                f"{principal_arn} is attached to {others[0][1]}; {EXCLUSIVE} allows one thing."
            )
        self.attach_thing_principal(thing_name, principal_arn)
        self.thing_principal_types[(principal_arn, thing_name)] = kind
        self.detaching.pop((principal_arn, thing_name), None)

    def detach_thing_principal(self, thing_name: str, principal_arn: str) -> None:
        """Detach a certificate from a thing, at once or later."""
        key = principal_arn, thing_name
        if self.late_detachment and key in self.principal_things:
            self.detaching.setdefault(key, self.late_detachment)
            return
        super().detach_thing_principal(thing_name, principal_arn)
        self.thing_principal_types.pop(key, None)

    def _look(self, looked_at: str) -> None:
        """Count a look at a thing or a principal against its detachments."""
        for key in [key for key in self.detaching if looked_at in key]:
            self.detaching[key] -= 1
            if self.detaching[key] == 0:
                del self.detaching[key], self.thing_principal_types[key]
                super().detach_thing_principal(key[1], key[0])

    def list_thing_principals(self, thing_name: str) -> list[str]:
        """Return what is attached to a thing, and what is on its way off."""
        found = super().list_thing_principals(thing_name)
        self._look(thing_name)
        return found

    def list_principal_things(self, principal_arn: str) -> list[str]:
        """Return what a principal is attached to, or on its way off from."""
        found = super().list_principal_things(principal_arn)
        self._look(principal_arn)
        return found

    def delete_thing(self, thing_name: str) -> None:
        """Delete a thing that nothing is attached to; its groups do not have it any more."""
        arn = self.describe_thing(thing_name).arn
        try:
            super().delete_thing(thing_name)
            for group in self.thing_groups.values():
                group.things.pop(arn, None)
        finally:
            self._look(thing_name)

    def delete_certificate(self, certificate_id: str, force_delete: bool) -> None:
        """Delete a certificate that is attached to nothing."""
        arn = self.describe_certificate(certificate_id).arn
        try:
            super().delete_certificate(certificate_id, force_delete)
        finally:
            self._look(arn)

    def delete_policy(self, policy_name: str) -> None:
        """Delete a policy that nothing has, and its tags."""
        arn = self.get_policy(policy_name).arn
        super().delete_policy(policy_name)
        self.tags.pop(arn, None)

    def delete_role_alias(self, role_alias_name: str) -> None:
        """Delete a role alias, and its tags."""
        arn = str(self.describe_role_alias(role_alias_name).to_dict()["roleAliasArn"])
        super().delete_role_alias(role_alias_name)
        self.tags.pop(arn, None)

    def delete_thing_group(self, thing_group_name: str) -> None:
        """Delete a thing group, and its tags."""
        arns = [group.arn for group in self.thing_groups.values() if group.thing_group_name == thing_group_name]
        super().delete_thing_group(thing_group_name)
        for arn in arns:
            self.tags.pop(arn, None)

    def hook_allows(self, target_arn: str, parameters: dict[str, Any]) -> bool:
        """Tell what a pre-provisioning hook says: the lab runs no function, so it is told whom each one denies."""
        return parameters.get("SerialNumber") not in self.denied_by_hook.get(target_arn, ())

    def taggable(self, arn: str) -> dict[str, str]:
        """Return the tags of a policy or a role alias, to read or to change.

        Raises:
            ResourceNotFoundException: there is none with this ARN.
        """
        aliases = [str(alias.to_dict()["roleAliasArn"]) for alias in self.role_aliases.values()]
        templates = [template.arn for template in self.provisioning.templates.values()]
        others = (*aliases, *templates, *self.thing_groups)
        if arn not in others and all(policy.arn != arn for policy in self.policies.values()):
            raise ResourceNotFoundException(f"No resource with the ARN {arn} that the lab can tag")
        return self.tags.setdefault(arn, {})


def _identifier(seed: str, length: int) -> str:
    """Derive letters and digits: the same seed always gives the same ones."""
    alphabet = string.digits + string.ascii_lowercase
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest())
    characters = []
    for _ in range(length):
        number, remainder = divmod(number, len(alphabet))
        characters.append(alphabet[remainder])
    return "".join(characters)

"""AWS Private CA's wire format where moto's differs from AWS."""

import base64
import json
from typing import Any, cast

from moto.acmpca import responses as moto

from lab.cloud.acmpca.models import PrivateCaBackend


class PrivateCaResponse(moto.ACMPCAResponse):
    @property
    def _lab(self) -> PrivateCaBackend:
        return cast("PrivateCaBackend", self.acmpca_backend)

    @property
    def _parameters(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def create_certificate_authority(self) -> str:
        """Answer CreateCertificateAuthority, with its usage mode."""
        answer = super().create_certificate_authority()
        self._lab.use_mode(
            json.loads(answer)["CertificateAuthorityArn"], self._parameters.get("UsageMode") or "GENERAL_PURPOSE"
        )
        return answer

    def issue_certificate(self) -> str:
        given = self._parameters
        arn = self._lab.issue(
            given["CertificateAuthorityArn"],
            base64.b64decode(given["Csr"]),
            template_arn=given.get("TemplateArn"),
            validity=given["Validity"],
            signing_algorithm=given["SigningAlgorithm"],
        )
        return json.dumps({"CertificateArn": arn})

    def create_permission(self) -> str:
        given = self._parameters
        self._lab.create_permission(given["CertificateAuthorityArn"], given["Principal"], given["Actions"])
        return "{}"

    def list_permissions(self) -> str:
        return json.dumps({"Permissions": self._lab.list_permissions(self._parameters["CertificateAuthorityArn"])})

    def delete_permission(self) -> str:
        given = self._parameters
        self._lab.delete_permission(given["CertificateAuthorityArn"], given["Principal"])
        return "{}"

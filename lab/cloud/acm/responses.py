"""ACM's wire format where moto's differs from AWS."""

from moto.acm import responses as moto
from moto.core.responses import ActionResult


class CertificateManagerResponse(moto.AWSCertificateManagerResponse):
    def get_certificate(self) -> ActionResult:
        """Answer GetCertificate; a certificate that was imported without a chain has none."""
        bundle = self.acm_backend.get_certificate(self._get_param("CertificateArn"))
        answer = {"Certificate": bundle.cert.decode()}
        if bundle.chain:
            answer["CertificateChain"] = bundle.chain.decode()
        return ActionResult(answer)

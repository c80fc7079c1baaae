"""AWS IoT's wire format where moto's differs from AWS."""

from moto.core.responses import ActionResult
from moto.iot import responses as moto


class IoTResponse(moto.IoTResponse):
    """Answers AWS IoT's operations."""

    def create_certificate_from_csr(self) -> ActionResult:
        """Answer CreateCertificateFromCsr; moto takes ``setAsActive=false`` of the query string for true."""
        certificate = self.iot_backend.create_certificate_from_csr(
            self._get_param("certificateSigningRequest"), set_as_active=self._get_bool_param("setAsActive", False)
        )
        return ActionResult(
            {
                "certificateId": certificate.certificate_id,
                "certificateArn": certificate.arn,
                "certificatePem": certificate.certificate_pem,
            }
        )

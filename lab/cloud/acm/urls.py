"""Addresses of ACM (moto looks for this module beside the models)."""

from moto.acm.urls import url_bases as url_bases

from lab.cloud.acm.responses import CertificateManagerResponse

url_paths = {"{0}/$": CertificateManagerResponse.dispatch}

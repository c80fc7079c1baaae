"""Addresses of ACM (moto looks for this module beside the models)."""

from moto.acm import urls as moto

from lab.cloud.acm.responses import CertificateManagerResponse

url_bases = moto.url_bases
url_paths = {"{0}/$": CertificateManagerResponse.dispatch}

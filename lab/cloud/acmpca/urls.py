"""Addresses of AWS Private CA (moto looks for this module beside the models)."""

from moto.acmpca import urls as moto

from lab.cloud.acmpca.responses import PrivateCaResponse

url_bases = moto.url_bases
url_paths = {"{0}/$": PrivateCaResponse.dispatch}

"""Addresses of CloudWatch Logs (moto looks for this module beside the models)."""

from moto.logs import urls as moto

from lab.cloud.logs.responses import LogsResponse

url_bases = moto.url_bases
url_paths = {"{0}/$": LogsResponse.dispatch}

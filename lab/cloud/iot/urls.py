"""Addresses of AWS IoT's control plane (moto looks for this module beside the models)."""

from moto.iot import urls as moto

from lab.cloud.iot.responses import IoTResponse

url_bases = moto.url_bases
url_paths = {"{0}/.*$": IoTResponse.dispatch}

"""Addresses of AWS IoT's data plane (moto looks for this module beside the models)."""

from moto.iotdata import urls as moto

from lab.cloud.iotdata.responses import IoTDataPlaneResponse

url_bases = moto.url_bases
url_paths = {"{0}/.*$": IoTDataPlaneResponse.dispatch}

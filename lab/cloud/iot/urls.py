"""Addresses of AWS IoT's control plane (moto looks for this module beside the models)."""

from moto.iot.urls import url_bases as url_bases

from lab.cloud.iot.responses import IoTResponse

url_paths = {"{0}/.*$": IoTResponse.dispatch}

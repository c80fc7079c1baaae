"""Addresses of EC2 (moto looks for this module beside the models)."""

from moto.ec2.urls import url_bases as url_bases

from lab.cloud.ec2.responses import EC2Response

url_paths = {"{0}/": EC2Response.dispatch}

"""Addresses of EC2 (moto looks for this module beside the models)."""

from moto.ec2 import urls as moto

from lab.cloud.ec2.responses import EC2Response

url_bases = moto.url_bases
url_paths = {"{0}/": EC2Response.dispatch}

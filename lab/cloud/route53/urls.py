"""Addresses of Route 53 (moto looks for this module beside the models)."""

from moto.route53 import urls as moto

from lab.cloud.route53.responses import Route53Response

url_bases = moto.url_bases
url_paths = dict.fromkeys(moto.url_paths, Route53Response.dispatch)

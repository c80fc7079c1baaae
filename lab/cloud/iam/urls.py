"""Addresses of IAM, which are moto's (moto looks for this module beside the models)."""

from moto.iam import urls as moto

url_bases = moto.url_bases
url_paths = moto.url_paths

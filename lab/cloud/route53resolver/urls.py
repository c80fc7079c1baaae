"""Addresses of Route 53 Resolver (moto looks for this module beside the models)."""

from moto.route53resolver import urls as moto

from lab.cloud.route53resolver.responses import Route53ResolverResponse

url_bases = moto.url_bases
url_paths = {"{0}/$": Route53ResolverResponse.dispatch}

"""Imports the AWS SDK's EC2 module once, ahead of the tests: a part of it warns about itself at its first import."""

import warnings

import pulumi_aws

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    # The module is lazy: only the use of a name imports it.
    pulumi_aws.ec2.Vpc  # noqa: B018 # for its side effect

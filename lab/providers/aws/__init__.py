"""The stand-in for the `aws` plugin: the resource types that the library uses, as AWS API calls."""

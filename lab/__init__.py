"""The whole private path on one machine, with no AWS account."""

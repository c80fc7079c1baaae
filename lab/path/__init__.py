"""The data path: what the cloud says, as a network of namespaces in which a packet goes the way it goes on AWS."""

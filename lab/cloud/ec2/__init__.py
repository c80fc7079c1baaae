"""EC2 where moto lacks it or differs from AWS: Client VPN, interface endpoints, addresses, dependencies."""

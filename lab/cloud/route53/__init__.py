"""Route 53 where moto's differs from AWS: private zones, changes of records, aliases to VPC endpoints."""

"""AWS Certificate Manager where moto's differs from AWS: what an import checks, what a certificate shows, and what uses it."""

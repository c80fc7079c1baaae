"""IAM where moto's is slow: AWS's own policies are read when one is asked for."""

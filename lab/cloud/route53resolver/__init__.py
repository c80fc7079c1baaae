"""Route 53 Resolver's DNS Firewall, which moto lacks: domain lists, rule groups, rules, associations, configuration."""

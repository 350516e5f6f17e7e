"""GraphQL: the schema made from projections, and the endpoint that answers from read plans (see `.app`)."""

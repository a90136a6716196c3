"""DNS as bytes: what to do with a query, answers by record type, what an answer teaches. Pure."""

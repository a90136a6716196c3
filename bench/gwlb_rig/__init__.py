"""What `bench gwlb` is measured with: two namespaces, a source of packets, the engine, a peer."""

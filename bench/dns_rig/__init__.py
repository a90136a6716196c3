"""DNS answers over loopback: our listener beside other servers, asked by dnsperf."""

"""What firewall rules do to protocol 112, as far as they tell: nftables and iptables, read and never changed."""

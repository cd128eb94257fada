-- A load balancer that follows its web servers, and a list for its firewall. A server that is
-- stopped leaves at once, one that was lost when its time is over; but should more than 70 % of
-- them be lost together, then more likely the network is, and the list stays as it was.

local servers = exchange.get("web/", { guard = 0.3 })

file "/etc/haproxy/" {}
file "/etc/haproxy/haproxy.cfg" {
  content = template("haproxy.cfg.tmpl", { servers = servers }),
}

local addresses = {}
for name, server in pairs(servers) do
  table.insert(addresses, server.address .. " " .. server.port .. " # " .. name .. "\n")
end
file "/etc/web-servers.list" { content = table.concat(addresses) }

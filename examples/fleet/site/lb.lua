-- A load balancer that follows the web servers as they come and go. Should most of them be lost at
-- once, then more likely the network is, and the list stays as it was.
local servers = exchange.get("web/", { guard = 0.3 })

pkg "haproxy" {}
file "/etc/haproxy/" {}
file "/etc/haproxy/haproxy.cfg" {
  content = template("haproxy.cfg.tmpl", { servers = servers }),
  notify = svc "haproxy",
}
svc "haproxy" { state = "running", enabled = true }

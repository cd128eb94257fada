-- A web server that tells the fleet where it is.
pkg "busybox" {}
file "/srv/www/" { recurse = true }
file "/srv/www/index.html" { content = "served by " .. exchange.host .. "\n" }
unit "www.service" {
  settings = {
    Service = { ExecStart = "/bin/busybox httpd -f -p 80 -h /srv/www", Restart = "always" },
    Install = { WantedBy = "multi-user.target" },
  },
}
svc "www" { state = "running", enabled = true }

exchange.publish("web/" .. exchange.host, { address = exchange.host, port = 80 })
